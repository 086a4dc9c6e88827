"""What becomes of requests before routes are asked for, by the mesh's settings, as Envoy 1.40 was seen to do it."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.explain.evaluate import Evaluator, gateway
from argosy.explain.outcome import Answered, Forwarded, Outcome, Redirected, Unrouted
from argosy.explain.request import Request
from argosy.model import ir
from argosy.model.ir import Paths
from argosy.model.proxy_settings import Connections, ProxySettings
from argosy.model.scope import Interception
from argosy.model.snapshot import Snapshot
from tests.unit.explain.asked import asked, asked_at_gateway, shop, virtual_service, web

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example.com]}
"""
ROUTE = "[{route: [{destination: {host: reviews, port: {number: 9080}}}]}]"
BOUND = virtual_service(ROUTE, hosts="[a.example.com]", more="gateways: [front]")
DENIED = "[{match: [%s], directResponse: {status: 403}}, {route: [{destination: {host: reviews}}]}]"
SECRET = virtual_service(DENIED % "{uri: {prefix: /secret}}")


def mesh(paths: Paths = Paths.BASE, *texts: str, gateway: bool = False, **said: Any) -> Snapshot:
    connections = Connections(**said)
    proxy = (
        ProxySettings(gateway_connections=connections) if gateway else ProxySettings(connections=connections)
    )
    return shop(*texts, paths=paths, proxy=proxy)


def sent(outcome: Outcome) -> str | int | tuple[int, str]:
    """The path upstream, the status of a refusal, or where it is redirected."""
    match outcome.verdict:
        case Forwarded(targets=(one,)):
            return one.path
        case Unrouted(status=status):
            return status
        case Redirected(status=status, location=location):
            return status, location
    raise AssertionError(outcome.verdict)


def path(made: Snapshot, written: str, *headers: tuple[str, str], **more: Any) -> str | int | tuple[int, str]:
    return sent(asked(made, f"http://reviews:9080{written}", *headers, **more))


@pytest.mark.parametrize(
    ("paths", "written", "routed"),
    [
        (Paths.NONE, "/a/../b", "/a/../b"),
        (Paths.NONE, "//a%2Fb", "//a%2Fb"),
        (Paths.NONE, "/a%00", "/a%00"),
        (Paths.BASE, "/a//../b", "/a/b"),
        (Paths.BASE, "//a%2Fb", "//a%2Fb"),
        (Paths.BASE, "/a%00", 400),
        (Paths.MERGE_SLASHES, "//..//a", "/a"),
        (Paths.MERGE_SLASHES, "//a%2F%2Fb", "/a%2F%2Fb"),
        (Paths.DECODE_AND_MERGE_SLASHES, "//a%2F%2Fb", "/a/b"),
        (Paths.DECODE_AND_MERGE_SLASHES, "/a%2F%2e%2e%2fb", "/b"),
        (Paths.DECODE_AND_MERGE_SLASHES, "/A%5C%5Cb?", "/A/b?"),
    ],
)
def test_paths_are_as_the_mesh_writes_them(paths: Paths, written: str, routed: str | int) -> None:
    for interception in Interception.EXPLICIT, Interception.REDIRECT:
        assert path(mesh(paths), written, interception=interception) == routed


def test_routes_are_compared_with_what_the_path_has_become() -> None:
    written = "http://reviews:9080//secret"
    assert sent(asked(mesh(Paths.BASE, SECRET), written)) == "//secret"
    assert getattr(asked(mesh(Paths.MERGE_SLASHES, SECRET), written).verdict, "status", None) == 403


@pytest.mark.parametrize(
    ("kind", "routed"),
    [
        ("KEEP_UNCHANGED", "/a%2Fb?q=%2F"),
        ("REJECT_REQUEST", 400),
        ("UNESCAPE_AND_REDIRECT", (307, "/a/b?q=%2F")),
        ("UNESCAPE_AND_FORWARD", "/a/b?q=%2F"),
    ],
)
def test_what_is_done_to_escaped_slashes(kind: str, routed: Any) -> None:
    assert path(mesh(escaped_slashes=kind), "/a%2Fb?q=%2F") == routed
    assert path(mesh(escaped_slashes=kind), "/ab?q=%2F") == "/ab?q=%2F", "a query is no path"


def test_connection_settings_go_before_the_meshs_paths() -> None:
    said: dict[str, Any] = {"escaped_slashes": "KEEP_UNCHANGED", "merge_slashes": False}
    assert path(mesh(Paths.DECODE_AND_MERGE_SLASHES, **said), "//a%2Fb") == "//a%2Fb"
    assert path(mesh(Paths.NONE, merge_slashes=True), "//a/./b") == "/a/./b"


def test_who_speaks_grpc_is_not_redirected() -> None:
    made = mesh(escaped_slashes="UNESCAPE_AND_REDIRECT")
    found = asked(made, "http://reviews:9080/a%2Fb", ("Content-Type", "application/grpc+proto"))
    assert isinstance(found.verdict, Unrouted)
    assert (found.verdict.status, found.verdict.grpc_status) == (200, 13)
    for other in ("application/grpc;x", "application/grpc-web", "Application/grpc"):
        assert path(made, "/a%2Fb", ("Content-Type", other)) == (307, "/a/b")


@pytest.mark.parametrize("name", ["x_a", "X_A"])
def test_headers_with_underscores(name: str) -> None:
    def headers(made: Snapshot) -> ir.Pairs:
        verdict = asked(made, "http://reviews:9080/", (name, "1"), ("x-a", "2")).verdict
        assert isinstance(verdict, Forwarded)
        return verdict.targets[0].headers

    assert len(headers(mesh(underscores="ALLOW"))) == len(headers(mesh())) == 2
    assert headers(mesh(underscores="DROP_HEADER")) == (("x-a", "2"),)
    assert path(mesh(underscores="REJECT_REQUEST"), "/", (name, "1")) == 400
    assert path(mesh(underscores="REJECT_REQUEST"), "/", ("x-a", "1")) == "/"


def test_a_header_that_is_dropped_matches_nothing() -> None:
    asks = virtual_service(DENIED % "{headers: {x_a: {exact: '1'}}}")
    for action, there in (("ALLOW", True), ("DROP_HEADER", False)):
        found = asked(mesh(Paths.BASE, asks, underscores=action), "http://reviews:9080/", ("x_a", "1"))
        assert (not isinstance(found.verdict, Forwarded)) is there


@pytest.mark.parametrize(
    ("headers", "sent_on"),
    [
        ((("x-a", " 1 "),), (("x-a", "1"),)),
        (
            (("connection", "X-A, close"), ("x-a", "1"), ("x-b", "2")),
            (("connection", "X-A, close"), ("x-b", "2")),
        ),
    ],
)
def test_values_are_trimmed_and_what_connection_names_is_not_sent_on(
    headers: ir.Pairs, sent_on: ir.Pairs
) -> None:
    verdict = asked(mesh(), "http://reviews:9080/", *headers).verdict
    assert isinstance(verdict, Forwarded)
    assert verdict.targets[0].headers == sent_on


def test_a_request_for_the_server_itself_matches_no_prefix() -> None:
    request = Request(authority="reviews:9080", method="OPTIONS", path="*")
    made = mesh()
    found = Evaluator(made, web(made)).outcome(request)
    assert found.verdict == Unrouted(404, "none of the routes is for this request")


@pytest.mark.parametrize(
    ("trusted", "said", "matches"),
    [(0, "", "http"), (0, "https", "http"), (1, "https", "https"), (1, "", "http"), (1, "ftp", "")],
)
def test_how_a_request_began_is_there_to_be_matched(trusted: int, said: str, matches: str) -> None:
    """A gateway believes what proxies before it say, and says for itself what nobody has said."""
    route = (
        "[{match: [{headers: {x-forwarded-proto: {exact: http}}}], directResponse: {status: 201}},"
        " {match: [{headers: {x-forwarded-proto: {exact: https}}}], directResponse: {status: 202}},"
        " {directResponse: {status: 203}}]"
    )
    texts = (GATEWAY, virtual_service(route, hosts="[a.example.com]", more="gateways: [front]"))
    made = shop(*texts, proxy=ProxySettings(trusted_proxies=trusted))
    headers = (("x-forwarded-proto", said),) if said else ()
    request = Request(authority="a.example.com", headers=headers)
    verdict = Evaluator(made, gateway(made, "shop", (("istio", "ingressgateway"),))).outcome(request).verdict
    assert isinstance(verdict, Answered)
    assert verdict.status == {"http": 201, "https": 202, "": 203}[matches]


def test_a_gateway_has_settings_of_its_own() -> None:
    written = "http://a.example.com//r%2Fs"
    said: dict[str, Any] = {"merge_slashes": True, "escaped_slashes": "UNESCAPE_AND_REDIRECT"}
    found = asked_at_gateway(mesh(Paths.BASE, GATEWAY, BOUND, gateway=True, **said), written)
    assert sent(found) == (307, "/r/s")
    assert [one.stage for one in found.steps] == ["listener", "path"]
    assert sent(asked_at_gateway(mesh(Paths.BASE, GATEWAY, BOUND, **said), written)) == "//r%2Fs"
    assert path(mesh(gateway=True, **said), "//r%2Fs") == "//r%2Fs"


def test_why_a_request_is_refused() -> None:
    found = asked(mesh(escaped_slashes="REJECT_REQUEST"), "http://reviews:9080/a%5Cb")
    assert found.verdict == Unrouted(
        400, "the path /a%5Cb has escaped slashes, and connectionSettings refuse them"
    )
    assert [one.stage for one in found.steps] == ["listener", "path"]
