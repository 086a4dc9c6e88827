"""`apply`, `delete`, `get` and `proxy status` against a control plane that is scripted here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from argosy.apiserver.client import ApiError, Applied, identify
from argosy.cli import connect
from argosy.cli.apply import Tried, steps
from argosy.cli.documents import as_yaml
from argosy.cli.main import main
from argosy.cli.targets import Target
from argosy.resources.kinds import KINDS, Kind

Json = dict[str, Any]
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: new}\n"


def service(name: str, namespace: str = "default", port: int = 80) -> str:
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{ports: [{{port: {port}}}]}}\n"
    )


def refused(name: str) -> ApiError:
    return ApiError(
        {"code": 422, "reason": "Invalid", "message": f"{name} is not wanted"}, f"Service default/{name}"
    )


class Plane:
    """Takes what it is given, but for the names in `refuses`; verdicts are answered in order."""

    def __init__(self) -> None:
        self.connection = SimpleNamespace(namespace="default")
        self.objects: dict[str, Json] = {}
        self.written: list[str] = []
        self.refuses: set[str] = set()
        self.warnings: tuple[str, ...] = ()
        self.verdicts: list[Json] = []
        self.asked: list[Json] = []
        self.proxies: list[Json] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def apply(self, obj: Json, *, dry_run: str = "") -> Applied:
        kind, namespace, name = identify(obj)
        if name in self.refuses:
            raise refused(name)
        done = {**obj, "metadata": {**obj["metadata"], "resourceVersion": "7"}}
        if not dry_run:
            self.written.append(f"{kind.kind} {namespace}/{name}")
            self.objects[name] = done
        return Applied(done, self.warnings, "created")

    def delete(self, kind: Kind, name: str, namespace: str = "default", *, dry_run: str = "") -> Json:
        if name not in self.objects:
            raise ApiError({"code": 404, "reason": "NotFound", "message": "not found"}, name)
        if not dry_run:
            del self.objects[name]
        return {"metadata": {"resourceVersion": "9"}}

    def get(self, kind: Kind, name: str, namespace: str = "default") -> Json:
        return self.objects[name]

    def list(
        self, kind: Kind, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> Json:
        return {"kind": "List", "items": list(self.objects.values())}

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Json | None = None,
        timeout: float = 0,
        warned: Callable[[str], None] = lambda _: None,
    ) -> Any:
        if path.endswith("/proxies"):
            warned("no answer from the control plane at 10.0.0.2:15012")
            return self.proxies
        self.asked.append(params or {})
        return self.verdicts.pop(0)


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Plane:
    found = Plane()
    monkeypatch.setattr(connect, "api", lambda _: found)
    return found


class Called:
    """`argosy …`, in this process: its exit code and what it said."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        self.monkeypatch, self.capsys, self.folder = monkeypatch, capsys, tmp_path

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["argosy", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = self.capsys.readouterr()
        assert isinstance(ended.value.code, int | None)
        return ended.value.code or 0, said.out, said.err

    def file(self, *texts: str) -> str:
        path = self.folder / "given.yaml"
        path.write_text("---\n".join(texts))
        return str(path)


@pytest.fixture
def argosy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Called:
    return Called(monkeypatch, capsys, tmp_path)


def test_everything_is_written_namespaces_first(plane: Plane, argosy: Called) -> None:
    code, out, _ = argosy("apply", "-f", argosy.file(service("a", "new"), service("b"), NAMESPACE))
    assert code == 0
    assert plane.written == ["Namespace /new", "Service new/a", "Service default/b"]
    assert out.splitlines() == ["Namespace new created", "Service new/a created", "Service default/b created"]


def test_one_invalid_object_and_nothing_is_written(plane: Plane, argosy: Called) -> None:
    code, _, err = argosy(
        "apply", "-f", argosy.file(service("a"), service("b", port=0), service("c", port=99999))
    )
    assert code == 1
    assert plane.written == []
    assert "Service default/b: spec.ports[0].port" in err
    assert "Service default/c: spec.ports[0].port" in err
    assert "nothing was changed" in err


def test_one_refusal_of_the_server_and_nothing_is_written(plane: Plane, argosy: Called) -> None:
    plane.refuses = {"b", "c"}
    code, _, err = argosy("apply", "-f", argosy.file(service("a"), service("b"), service("c")))
    assert code == 1
    assert plane.written == []
    assert "Service default/b: b is not wanted" in err
    assert "Service default/c: c is not wanted" in err
    assert "nothing was changed" in err


def test_a_kind_that_is_not_the_meshs_is_refused(plane: Plane, argosy: Called) -> None:
    text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
    code, _, err = argosy("apply", "-f", argosy.file(service("a"), text))
    assert (code, plane.written) == (1, [])
    assert "'Deployment'" in err


def test_warnings_of_the_server_are_told(plane: Plane, argosy: Called) -> None:
    plane.warnings = ("spec.x: nobody has it",)
    _, _, err = argosy("apply", "-f", argosy.file(service("a")))
    assert "warning: Service default/a: spec.x: nobody has it" in err


@pytest.mark.parametrize(
    ("verdict", "code", "said"),
    [
        ({"state": "live", "proxies": ["a", "b"]}, 0, "live in 2 proxies"),
        (
            {"state": "unaffected", "reason": "no proxy is connected"},
            0,
            "no connected proxy uses it: no proxy is",
        ),
        (
            {
                "state": "rejected",
                "rejected": [{"proxy": "x.ns", "type": "Listener", "resource": "80", "message": "bad"}],
            },
            1,
            "refused by x.ns: Listener 80: bad",
        ),
        (
            {"state": "rejected", "rejected": [], "reason": "cannot be lowered"},
            1,
            "refused: cannot be lowered",
        ),
        ({"state": "timeout", "pending": ["slow.ns"]}, 2, "not live after 30 s: waiting for slow.ns"),
        (
            {"state": "live", "proxies": ["a"], "disconnected": ["away.ns"]},
            0,
            "not connected, not waited for: away.ns",
        ),
    ],
)
def test_wait_says_how_it_stands(plane: Plane, argosy: Called, verdict: Json, code: int, said: str) -> None:
    plane.verdicts = [verdict]
    found, _, err = argosy("apply", "--wait", "-f", argosy.file(service("a")))
    assert (found, said in err) == (code, True), err
    assert plane.asked[0]["object"] == "Service/default/a"
    assert plane.asked[0]["revision"] == "7"


def test_of_several_the_worst_decides(plane: Plane, argosy: Called) -> None:
    plane.verdicts = [{"state": "timeout"}, {"state": "rejected", "reason": "no"}, {"state": "live"}]
    code, _, _ = argosy("apply", "--wait", "-f", argosy.file(service("a"), service("b"), service("c")))
    assert code == 1
    assert len(plane.asked) == 3


def test_the_time_is_for_all_of_them_together(plane: Plane, argosy: Called) -> None:
    plane.verdicts = [{"state": "live"}] * 2
    argosy("apply", "--wait", "--timeout", "2s", "-f", argosy.file(service("a"), service("b")))
    first, second = (float(asked["timeout"]) for asked in plane.asked)
    assert second <= first <= 2


def test_delete_by_file_and_by_name(plane: Plane, argosy: Called) -> None:
    file = argosy.file(service("a"), service("b"))
    argosy("apply", "-f", file)
    code, out, _ = argosy("delete", "svc", "a")
    assert (code, out) == (0, "Service default/a deleted\n")
    code, out, err = argosy("delete", "-f", file)
    assert (code, out) == (1, "Service default/b deleted\n")
    assert "Service default/a is not there" in err
    assert argosy("delete", "-f", file, "--ignore-not-found")[0] == 0


def test_delete_can_wait_too(plane: Plane, argosy: Called) -> None:
    argosy("apply", "-f", argosy.file(service("a")))
    plane.verdicts = [{"state": "live", "proxies": []}]
    assert argosy("delete", "svc", "a", "--wait")[0] == 0
    assert plane.asked[0]["revision"] == "9"


def test_get_as_table_json_and_yaml(plane: Plane, argosy: Called) -> None:
    argosy("apply", "-f", argosy.file(service("a")))
    _, out, _ = argosy("get", "services")
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
        ["a", "ClusterIP", "<none>", "<none>", "80/TCP", "<unknown>"],
    ]
    assert json.loads(argosy("get", "svc", "-o", "json")[1])["items"][0]["metadata"]["name"] == "a"
    assert argosy("get", "Service", "a", "-o", "yaml")[1].startswith("apiVersion: v1\n")


def test_text_of_several_lines_is_shown_as_it_was_written() -> None:
    found = {"data": {"mesh": "a: 1\nb: 2\n", "one": "a: 1"}}
    assert as_yaml(found) == "data:\n  mesh: |\n    a: 1\n    b: 2\n  one: 'a: 1'\n"


def test_the_status_of_proxies(plane: Plane, argosy: Called) -> None:
    plane.proxies = [
        {
            "name": "b.ns",
            "type": "sidecar",
            "connected": True,
            "synced": False,
            "types": [{"type": "Cluster", "version": "7", "synced": False}],
            "certificate_expires_at": 1.0,
            "last_nack": "Listener: bad",
        },
        {"name": "a.ns", "connected": False},
    ]
    _, out, err = argosy("proxy", "status")
    assert "no answer from the control plane at 10.0.0.2:15012" in err
    first, second = out.splitlines()[1:]
    assert first.split()[:3] == ["a.ns", "-", "no"]
    assert "CDS:7…" in second
    assert "expired" in second
    assert second.endswith("Listener: bad")


@pytest.mark.parametrize(("text", "value"), [("30s", 30), ("500ms", 0.5), ("2m", 120), ("1.5", 1.5)])
def test_durations(text: str, value: float) -> None:
    assert connect.seconds(text, "--timeout") == value


@pytest.mark.parametrize(
    "name", ["VirtualService", "virtualservices", "vs", "virtualservices.networking.istio.io"]
)
def test_kinds_by_all_their_names(name: str) -> None:
    assert connect.kind_called(name).kind == "VirtualService"


def named(kind: str) -> Kind:
    return next(one for one in KINDS if one.unique_name == kind)


def rule(name: str, *subsets: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"host": name, "subsets": [{"name": one} for one in subsets]},
    }


ROUTE = {"kind": "VirtualService", "metadata": {"name": "reviews", "namespace": "shop"}}


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        (["v1"], ["v1", "v2"], [["v1", "v2"], None]),
        (["v1"], ["v2"], [["v2", "v1"], None, ["v2"]]),
        (["v1", "v2"], [], [["v1", "v2"], None, []]),
        (None, ["v1"], [["v1"], None]),
    ],
    ids=["more", "another", "none", "new"],
)
def test_subsets_go_after_the_routes_to_them(
    before: list[str] | None, after: list[str], written: list[list[str] | None]
) -> None:
    """None: the VirtualService."""
    target, other = (
        Target(named("DestinationRule"), "shop", "reviews"),
        Target(named("VirtualService"), "shop", "reviews"),
    )
    new = rule("reviews", *after)
    tried = [
        Tried(target, new, None if before is None else rule("reviews", *before)),
        Tried(other, ROUTE, None),
    ]
    found = steps([(target, new), (other, ROUTE)], tried)
    assert [
        None if obj is ROUTE else [subset["name"] for subset in obj["spec"]["subsets"]] for _, obj, _ in found
    ] == written
    assert [last for _, _, last in found].count(True) == 2, "each is told of once"


def test_a_rule_alone_is_written_at_once() -> None:
    target = Target(named("DestinationRule"), "shop", "reviews")
    new = rule("reviews", "v2")
    assert steps([(target, new)], [Tried(target, new, rule("reviews", "v1"))]) == [(target, new, True)]
