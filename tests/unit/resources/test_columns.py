"""JSON paths, ages, and the cells of a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from argosy.resources import age, builtin_columns, json_path
from argosy.resources.columns import layout
from argosy.resources.kinds import AGE, KINDS, Column, ColumnType, Kind
from argosy.resources.meta import Object

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
OBJECT: dict[str, Any] = {
    "metadata": {"name": "a", "annotations": {"a.b/c": "d"}, "creationTimestamp": "2026-03-04T05:01:07Z"},
    "spec": {"hosts": ["x", "y"], "n": 3, "share": 1.5, "on": True, "map": {"k": "v"}},
    "status": {"conditions": [{"type": "A", "status": "False"}, {"type": "B", "status": "True"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.n", [3]),
        ("{.spec.n}", [3]),
        ("$.spec.n", [3]),
        (".spec.hosts", [["x", "y"]]),
        (".spec.hosts[0]", ["x"]),
        (".spec.hosts[-1]", ["y"]),
        (".spec.hosts[2]", []),
        (".spec.hosts[*]", ["x", "y"]),
        (".spec.map.*", ["v"]),
        (r".metadata.annotations.a\.b/c", ["d"]),
        (".metadata.annotations['a.b/c']", ["d"]),
        ('.status.conditions[?(@.type=="B")].status', ["True"]),
        (".status.conditions[?(@.type == 'B')].status", ["True"]),
        ('.status.conditions[?(@.type=="C")].status', []),
        (".nothing.there[0]", []),
        (".spec.n.deeper", []),
    ],
)
def test_a_path_leads_to_values(path: str, found: list[Any]) -> None:
    compiled = json_path.compiled(path)
    assert compiled.find(OBJECT) == found
    assert compiled.first(OBJECT) == (found[0] if found else None)


@pytest.mark.parametrize("path", ["", "spec", ".spec[", ".spec[?(@.a>1)]", "..", ".spec hosts[x]"])
def test_what_is_no_path_is_refused_by_name(path: str) -> None:
    with pytest.raises(ValueError, match="is not a JSON path"):
        json_path.compiled(path)


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (timedelta(seconds=-60), "<invalid>"),
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(minutes=9, seconds=59), "9m59s"),
        (timedelta(minutes=10, seconds=30), "10m"),
        (timedelta(minutes=179), "179m"),
        (timedelta(hours=3), "3h"),
        (timedelta(hours=7, minutes=59), "7h59m"),
        (timedelta(hours=8, minutes=59), "8h"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=2), "2d"),
        (timedelta(days=7, hours=23), "7d23h"),
        (timedelta(days=8, hours=23), "8d"),
        (timedelta(days=729), "729d"),
        (timedelta(days=730), "2y"),
        (timedelta(days=800), "2y70d"),
        (timedelta(days=365 * 9), "9y"),
    ],
)
def test_an_age_is_told_as_kubectl_tells_it(length: timedelta, told: str) -> None:
    assert age.told(length.total_seconds()) == told
    assert age.since((NOW - length).isoformat(), NOW) == told


@pytest.mark.parametrize("moment", [None, "", 5, "yesterday", "2026-03-04T05:06:07"])
def test_what_is_no_moment_has_no_age(moment: object) -> None:
    assert age.since(moment, NOW) is None


def test_cells_are_of_the_type_of_their_column() -> None:
    wanted: dict[tuple[str, ColumnType], object] = {
        (".spec.hosts", ColumnType.STRING): '["x","y"]',
        (".spec.n", ColumnType.STRING): "3",
        (".spec.n", ColumnType.INTEGER): 3,
        (".spec.share", ColumnType.INTEGER): 1,
        (".spec.share", ColumnType.NUMBER): 1.5,
        (".spec.on", ColumnType.BOOLEAN): True,
        (".spec.on", ColumnType.NUMBER): None,
        (".spec.n", ColumnType.BOOLEAN): None,
        (".spec.none", ColumnType.STRING): None,
        (".metadata.creationTimestamp", ColumnType.DATE): "5m",
    }
    columns = tuple(Column(f"c{i}", path, type) for i, (path, type) in enumerate(wanted))
    kind = Kind(
        group="g", versions=("v1",), kind="K", plural="ks", singular="k", columns=columns, struct=Object
    )
    found = layout(kind)
    assert found.cells(OBJECT, NOW) == ["a", *wanted.values()]
    assert found.fields == frozenset({"spec"})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_has_a_name_and_an_age_or_a_moment_and_shows_an_empty_object(kind: Kind) -> None:
    found = layout(kind)
    names = [column.name for column in found.columns]
    assert "Name" in names
    assert {"Age", "Created At", "Last Seen"} & set(names)
    assert len(found.cells({}, NOW)) == len(names) == len(set(names))
    assert all(column.description for column in found.columns)


def test_computed_columns_are_for_kinds_of_kubernetes_alone() -> None:
    own = {kind.resource for kind in KINDS if not kind.builtin}
    assert not own & set(builtin_columns.COMPUTED)
    assert AGE.type is ColumnType.DATE


def cell(resource: str, column: str, obj: dict[str, Any]) -> object:
    return next(
        compute(obj, NOW) for shown, compute in builtin_columns.COMPUTED[resource] if shown.name == column
    )


@pytest.mark.parametrize(
    ("resource", "column", "obj", "told"),
    [
        ("/services", "External-IP", {"spec": {"type": "LoadBalancer"}}, "<pending>"),
        (
            "/services",
            "External-IP",
            {
                "spec": {"type": "LoadBalancer", "externalIPs": ["2"]},
                "status": {"loadBalancer": {"ingress": [{"ip": "1"}, {"hostname": "h"}]}},
            },
            "1,h,2",
        ),
        ("/services", "External-IP", {"spec": {"type": "ExternalName", "externalName": "x.y"}}, "x.y"),
        ("/services", "External-IP", {"spec": {"externalIPs": ["1", "2"]}}, "1,2"),
        (
            "/services",
            "Port(s)",
            {"spec": {"ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}},
            "80:30080/TCP,53/UDP",
        ),
        ("/configmaps", "Data", {"data": {"a": "b"}, "binaryData": {"c": ""}}, 2),
        ("/configmaps", "Data", {"data": None}, 0),
        (
            "/endpoints",
            "Endpoints",
            {"subsets": [{"addresses": [{"ip": "1"}, {"ip": "::2"}], "ports": [{"port": 80}, {"port": 81}]}]},
            "1:80,[::2]:80,1:81 + 1 more...",
        ),
        ("/endpoints", "Endpoints", {}, "<none>"),
        ("discovery.k8s.io/endpointslices", "Endpoints", {"endpoints": [{"addresses": ["1"]}]}, "1"),
        ("discovery.k8s.io/endpointslices", "Ports", {}, "<unset>"),
        ("/namespaces", "Status", {"status": {"phase": "Terminating"}}, "Terminating"),
        (
            "/events",
            "Object",
            {"involvedObject": {"kind": "VirtualService", "name": "a"}},
            "virtualservice/a",
        ),
        ("/events", "Last Seen", {"lastTimestamp": "2026-03-04T05:05:07Z"}, "60s"),
        ("/events", "Last Seen", {"lastTimestamp": None, "eventTime": "2026-03-04T05:05:07.5Z"}, "59s"),
        (
            "rbac.authorization.k8s.io/rolebindings",
            "ServiceAccounts",
            {
                "subjects": [
                    {"kind": "ServiceAccount", "name": "a", "namespace": "b"},
                    {"kind": "User", "name": "u"},
                ]
            },
            "b/a",
        ),
    ],
)
def test_computed_cells(resource: str, column: str, obj: dict[str, Any], told: object) -> None:
    assert cell(resource, column, obj) == told
