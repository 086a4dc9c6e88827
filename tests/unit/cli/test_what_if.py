"""`argosy what-if` of files: resources, proxies, bytes; and recorded requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from argosy.cli.impact import World
from argosy.cli.main import app
from argosy.model import ir
from argosy.model.scope import Interception
from argosy.resources.kinds import decode
from argosy.resources.meta import Object
from argosy.runtime.errors import Failure
from argosy.translate import parts

HOST = "reviews.shop.svc.cluster.local"
MESH = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: reviews, version: v1}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-1, namespace: shop}
spec: {address: 10.0.0.2, labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: other-1, namespace: other}
spec: {address: 10.0.0.3, labels: {app: other}}
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs, namespace: shop}
spec:
  hosts: [reviews]
  exportTo: %s
  http: [{%sroute: [{destination: {host: %s}}]}]
"""


def objects(text: str) -> list[Object]:
    return [decode(one) for one in yaml.safe_load_all(text)]


def world(*texts: str) -> World:
    found = [one for text in (MESH, *texts) for one in objects(text)]
    return World(found, ir.Mesh(), Interception.EXPLICIT)


def changes(impact: Any) -> list[tuple[str, str, str, int]]:
    return [(one.type, one.name, one.what, one.proxies) for one in impact.changes]


def test_a_route_is_one_resource_of_those_who_see_it() -> None:
    impact = world().change(objects(ROUTE % ("['*']", "timeout: 3s, ", "reviews")))
    assert changes(impact) == [("RouteConfiguration", "http_proxy", "changed", 3)]
    assert (impact.proxies, impact.of) == (3, 3)
    assert 0 < impact.bytes <= 3 * impact.changes[0].bytes
    seen_by_two = world().change(objects(ROUTE % ("['.']", "timeout: 3s, ", "reviews")))
    assert changes(seen_by_two) == [("RouteConfiguration", "http_proxy", "changed", 2)]


def test_what_changes_nothing_sends_nothing() -> None:
    text = ROUTE % ("['*']", "", "reviews")
    impact = world(text).change(objects(text))
    assert (impact.changes, impact.proxies, impact.bytes) == ((), 0, 0)


def test_a_selector_that_comes_changes_the_scope_and_only_what_differs_is_sent() -> None:
    text = ROUTE % ("['*']", "match: [{sourceLabels: {app: web}}], timeout: 3s, ", "reviews")
    assert changes(world().change(objects(text))) == [("RouteConfiguration", "http_proxy", "changed", 1)]


def many(start: int) -> str:
    return "---".join(
        f"""
apiVersion: v1
kind: Service
metadata: {{name: svc-{number}, namespace: shop}}
spec: {{ports: [{{name: http, port: 80}}]}}
"""
        for number in range(start, parts.MANY)
    )


def test_proxies_keep_the_layout_that_they_were_started_with() -> None:
    """A change that makes the mesh a large one changes no proxy but by what comes."""
    growing = world().change(objects(many(0)))
    assert ("RouteConfiguration", "http_proxy", "changed", 3) in changes(growing)
    assert not any(one.type in ("Listener", "ScopedRouteConfiguration") for one in growing.changes)
    part = f"http_proxy/{parts.part_of('reviews')}"
    impact = world(many(0)).change(objects(ROUTE % ("['*']", "timeout: 3s, ", "reviews")))
    assert changes(impact) == [("RouteConfiguration", part, "changed", 3)]


def test_what_goes_is_told() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: dr, namespace: shop}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
"""
    impact = world(rule).change((), objects(rule))
    assert changes(impact) == [
        ("Cluster", f"outbound|9080|v1|{HOST}", "gone", 3),
        ("ClusterLoadAssignment", f"outbound|9080|v1|{HOST}", "gone", 3),
    ]


def test_a_gateway_of_the_gateway_api_takes_none_of_istios_along() -> None:
    gateway = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {selector: {app: web}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
"""
    other = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: other, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""
    assert changes(world(gateway, other).change((), objects(gateway))) != []
    assert changes(world(gateway, other).change((), objects(other))) == []


def test_a_new_object_is_younger_than_those_that_are_there() -> None:
    old = (ROUTE % ("['*']", "timeout: 1s, ", "reviews")).replace("name: vs", "name: zz")
    assert changes(world(old).change(objects(ROUTE % ("['*']", "timeout: 3s, ", "reviews")))) == []


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "all.yaml").write_text(MESH)
    (tmp_path / "change.yaml").write_text(ROUTE % ("['*']", "match: [{uri: {prefix: /a}}], ", "nobody"))
    line = {"method": "GET", "path": "/a", "authority": "reviews:9080", "response_code": 200}
    (tmp_path / "access.log").write_text(f"{json.dumps(line)}\nelse\n" * 3)
    return tmp_path


def what_if(folder: Path, *arguments: str) -> Result:
    files = ["-f", str(folder / "change.yaml"), "--base", str(folder / "mesh")]
    return CliRunner().invoke(app, ["what-if", *files, *arguments])


def test_what_a_change_would_do(folder: Path) -> None:
    done = what_if(folder)
    assert done.exit_code == 0, done.output
    assert "3 of 3 proxies would be sent" in done.output


def test_requests_that_would_be_lost_are_told_and_fail(folder: Path) -> None:
    done = what_if(folder, "--log", str(folder / "access.log"), "--from", "shop/web-1")
    assert done.exit_code == 1, done.output
    assert "3 of 3 recorded requests would go elsewhere" in done.output
    assert "THEY WOULD NOT ARRIVE" in done.output
    assert "lines left out: 3 of no access log" in done.output


def test_for_programs(folder: Path) -> None:
    done = what_if(folder, "--log", str(folder / "access.log"), "--from", "shop/web-1", "-o", "json")
    told = json.loads(done.output)
    assert told["impact"]["proxies"] == 3
    assert told["requests"]["moved"][0]["count"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("--log", "x"),
        ("--from", "x"),
        ("--interception", "none"),
        ("-o", "none"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(folder: Path, arguments: tuple[str, ...]) -> None:
    done = what_if(folder, *arguments)
    assert isinstance(done.exception, Failure), done.output
    assert done.exception.code == 2


def test_a_log_need_not_be_utf_8(folder: Path) -> None:
    with (folder / "access.log").open("ab") as log:
        log.write(b'{"method": "GET", "path": "/\xff", "authority": "reviews:9080", "response_code": 200}\n')
    done = what_if(folder, "--log", str(folder / "access.log"), "--from", "shop/web-1")
    assert "of 4 recorded requests" in done.output


def test_a_change_without_objects_is_wrong_usage_and_who_has_gone_is_not_to_be_described(
    folder: Path,
) -> None:
    done = what_if(folder, "--log", str(folder / "access.log"), "--from", "shop/gone")
    assert isinstance(done.exception, Failure)
    assert "--labels" not in done.exception.remedy
    (folder / "change.yaml").write_text("# nothing\n")
    done = what_if(folder)
    assert isinstance(done.exception, Failure)
    assert (done.exception.code, done.exception.what) == (2, "the files hold no object of the mesh's")


def test_a_file_without_requests_is_no_log(folder: Path) -> None:
    done = what_if(folder, "--log", str(folder / "change.yaml"), "--from", "shop/web-1")
    assert isinstance(done.exception, Failure)
    assert "no request" in done.exception.what
