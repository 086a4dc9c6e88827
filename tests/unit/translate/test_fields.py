"""No field that people may write is accepted and silently ignored: each is in force (changing it alone changes what
some proxy gets), refused, or told (`argosy.model.limits`)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from argosy.model.limits import TABLE, limit_of, not_in_force
from argosy.resources.kinds import decode
from argosy.resources.schema import join
from argosy.resources.validation import validate
from tests.unit.translate.fields import (
    TOLD_AS_A_WHOLE,
    Json,
    Mesh,
    all_fields,
    kind_name,
    mutations,
    places,
    typed,
    written,
)
from tests.unit.translate.starts import joined

IN_FORCE = written("fields_in_force.yaml")
STARTED = written("fields_started.yaml")
TOLD = written("fields_told.yaml")

NAMES_ONLY = {
    "gateway.Server.name": "in messages; of two servers of one name the first counts",
    "sidecar.SidecarPort.name": "in messages",
    "core.EndpointSubset.notReadyAddresses": "get no traffic: tests/unit/registry/test_backing.py",
}
BY_OTHERS = {
    "security.AuthorizationCondition.key": "each of them: tests/unit/model/test_authorization_policies.py",
    "core.ConfigMap.immutable": "an update is refused: tests/unit/resources/test_core.py",
    "security.JWTRule.jwksUri": "by the server, which fetches: tests/unit/server/test_key_sets.py",
    "security.JWTRule.timeout": "by the server, which fetches: tests/unit/server/test_key_sets.py",
    "meshconfig.MeshConfig.discoverySelectors": "by the server: tests/unit/server/test_discovery.py",
}
REFUSED: dict[str, tuple[str, Json]] = {
    "virtual_service.Delay.exponentialDelay": (
        "spec.http[0].fault.delay.exponentialDelay",
        {
            "kind": "VirtualService",
            "spec": {"hosts": ["a"], "http": [{"fault": {"delay": {"exponentialDelay": "1s"}}}]},
        },
    ),
    "virtual_service.Abort.http2Error": (
        "spec.http[0].fault.abort.http2Error",
        {
            "kind": "VirtualService",
            "spec": {"hosts": ["a"], "http": [{"fault": {"abort": {"http2Error": "x"}}}]},
        },
    ),
    "sidecar.SidecarPort.targetPort": (
        "spec.egress[0].port.targetPort",
        {
            "kind": "Sidecar",
            "spec": {"egress": [{"hosts": ["./*"], "port": {"number": 1, "targetPort": 2}}]},
        },
    ),
    "selector.PolicyTargetReference.namespace": (
        "spec.targetRefs[0].namespace",
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "a", "namespace": "c"}]},
        },
    ),
    "gateway.Port.targetPort": (
        "spec.servers[0].port.targetPort",
        {"kind": "Gateway", "spec": {"servers": [{"hosts": ["*"], "port": {"number": 1, "targetPort": 2}}]}},
    ),
}


def label(body: Json) -> str:
    return kind_name(body)


@cache
def _effective(index: int) -> frozenset[str]:
    """Of one object of IN_FORCE: the fields that change something, or hold one that does."""
    body = IN_FORCE[index]
    mesh = Mesh([*written("fields_mesh.yaml"), body])
    assert (mesh.refused(), mesh.compiler.errors) == ({}, {})
    before = typed(body)
    found = list(places(body))
    work = [place for place in found if any(mesh.changes(now, before) for now in mutations(body, place.path))]
    return frozenset(
        place.field for place in found if any(one.path[: len(place.path)] == place.path for one in work)
    )


@cache
def in_force() -> frozenset[str]:
    running = (_effective(index) for index in range(len(IN_FORCE)))
    return frozenset().union(*running, *(_effective_at_start(index) for index in range(len(STARTED))))


@cache
def _effective_at_start(index: int) -> frozenset[str]:
    """Of one object of STARTED: the fields that change how a workload joins."""
    body = STARTED[index]
    before = joined(typed(body))
    assert not isinstance(before, str), before
    return frozenset(
        place.field
        for place in places(body)
        if any(joined(now) != before for now in mutations(body, place.path))
    )


def _path(body: Json, path: tuple[str | int, ...]) -> str:
    return join(["data", "mesh", *path[1:]] if body["kind"] == "MeshConfig" else list(path))


@cache
def told() -> frozenset[str]:
    found: set[str] = set()
    for body in TOLD:
        if kind_name(body) in TOLD_AS_A_WHOLE:
            continue
        fields = [field for field, _ in not_in_force(typed(body))]
        for place in places(body):
            path = _path(body, place.path)
            if any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in fields):
                found.add(place.field)
            elif any(field.startswith((f"{path}.", f"{path}[")) for field in fields):
                found.add(place.field)  # what holds only such fields
    return frozenset(found)


def test_every_field_is_in_force_or_told_or_refused() -> None:
    known = in_force() | told() | NAMES_ONLY.keys() | REFUSED.keys() | BY_OTHERS.keys()
    assert all_fields() - known == set(), (
        "forgotten: put them in force, or in limits.TABLE; and in the files here"
    )
    assert known <= all_fields()


@pytest.mark.parametrize("index", range(len(IN_FORCE)), ids=lambda i: f"{i}-{label(IN_FORCE[i])}")
def test_what_is_in_force_is_not_told(index: int) -> None:
    assert not_in_force(typed(IN_FORCE[index])) == ()


@pytest.mark.parametrize("body", STARTED, ids=label)
def test_what_is_in_force_at_the_start_is_not_told(body: Json) -> None:
    assert not_in_force(typed(body)) == ()


@pytest.mark.parametrize("field", REFUSED)
def test_what_is_refused_says_so(field: str) -> None:
    where, body = REFUSED[field]
    group = {"apiVersion": "networking.istio.io/v1", "metadata": {"name": "a", "namespace": "b"}}
    assert where in {problem.field for problem in validate(group | body).errors}


def test_every_line_of_the_table_speaks() -> None:
    silent = set(TABLE)
    for body in TOLD:
        for field, _ in not_in_force(typed(body)):
            kind = kind_name(body)
            silent.discard(
                limit_of(kind, field.removeprefix("data.mesh.") if kind == "MeshConfig" else field)
            )
    assert silent == set()


def test_kinds_that_are_told_as_a_whole_are_told_with_and_without_fields() -> None:
    """A policy that says nothing denies everything: that it is not in force must be said of it, too."""
    told = {kind_name(body): body for body in TOLD if kind_name(body) in TOLD_AS_A_WHOLE}
    assert told.keys() == TOLD_AS_A_WHOLE
    for body in told.values():
        ((field, message),) = not_in_force(typed(body))
        assert field == ""
        assert "not in force" in message or "NOT ENFORCED" in message


@pytest.mark.parametrize("index", range(len(TOLD)), ids=lambda i: f"{i}-{label(TOLD[i])}")
def test_what_is_told_to_have_no_effect_has_none(index: int) -> None:
    """Each field alone; an object that is not in force as a whole has none anyway."""
    body = TOLD[index]
    mesh = Mesh([*written("fields_mesh.yaml"), body])
    if mesh.refused():
        assert any("the object is not in force" in message for _, message in not_in_force(typed(body)))
        return
    before = typed(body)
    fields = {field: message for field, message in not_in_force(before)}
    for place in places(body):
        message = fields.get("", fields.get(_path(body, place.path), ""))
        if "" in fields or ("is not in force" in message and "fail" not in message):
            changed = [now for now in mutations(body, place.path) if mesh.changes(now, before)]
            assert changed == [], f"{place.path} has an effect, and {message}"


# --- the words ------------------------------------------------------------------------------------------------------


def _obj(kind: str, spec: Any, **metadata: str) -> Any:
    group = "v1" if kind in ("Service", "ConfigMap") else "networking.istio.io/v1"
    body = {"apiVersion": group, "kind": kind, "metadata": {"name": "x", "namespace": "shop"} | metadata}
    return decode(body | ({"data": spec} if kind == "ConfigMap" else {"spec": spec}))


def test_a_finding_names_the_concrete_field_and_its_value() -> None:
    server = {"port": {"number": 443, "protocol": "HTTPS"}, "defaultEndpoint": "127.0.0.1:80"}
    plain = {"port": {"number": 80, "protocol": "HTTP"}, "tls": {"httpsRedirect": True}}
    assert not_in_force(_obj("Gateway", {"servers": [plain, server]})) == (
        ("spec.servers[1].defaultEndpoint", "127.0.0.1:80: has no effect, as in Istio; remove it"),
    )


def test_what_kubernetes_writes_by_itself_is_no_finding() -> None:
    spec = {
        "type": "ClusterIP",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
        "ports": [{"port": 80}],
    }
    assert not_in_force(_obj("Service", spec)) == ()


def test_a_secret_for_client_tls_is_for_gateways_and_for_those_that_are_selected() -> None:
    policy = {"tls": {"mode": "SIMPLE", "credentialName": "cert"}}
    spec = {"host": "a", "trafficPolicy": policy}
    assert [field for field, _ in not_in_force(_obj("DestinationRule", spec))] == [
        "spec.trafficPolicy.tls.credentialName"
    ]
    selected = spec | {"workloadSelector": {"matchLabels": {"app": "a"}}}
    assert not_in_force(_obj("DestinationRule", selected)) == ()


def test_mesh_settings_that_no_struct_has_are_found_at_any_depth() -> None:
    settings = "defaultConfig: {configPath: /a}\ntcpKeepalive: {prob: 1}\nconnectTimeout: 1s\n"
    found = not_in_force(_obj("ConfigMap", {"mesh": settings}, name="istio", namespace="istio-system"))
    assert [field for field, _ in found] == [
        "data.mesh.defaultConfig.configPath",
        "data.mesh.tcpKeepalive.prob",
    ]
    elsewhere = not_in_force(_obj("ConfigMap", {"mesh": settings}, name="istio"))
    assert [field for field, _ in elsewhere] == ["data"]
    assert not_in_force(_obj("ConfigMap", {"mesh": settings}, namespace="istio-system")) == ()
    assert not_in_force(_obj("ConfigMap", {"mesh": "{"}, name="istio", namespace="istio-system")) == ()
