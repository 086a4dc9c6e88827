"""Which VirtualService decides for a host, and what a class of proxies sees of it."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.snapshot import Snapshot
from tests.unit.model.written import RATINGS, REVIEWS, mesh_config, obj, prefix, scope, service, snapshot, to


def vs(name: str, host: str, destination: str, **more: Any) -> Any:
    created = more.pop("created", "")
    spec = {"hosts": [host], "http": [{"route": [{"destination": {"host": destination}}]}]} | more
    return obj("VirtualService", name, spec, created=created)


def destinations(made: Snapshot, host: str = REVIEWS, port: int = 9080, **who: str) -> list[str]:
    """Hosts that each route of the host leads to, in order; [] where no VirtualService says."""
    table = Reader(made).route_table(scope(made, **who), host, port)  # type: ignore[arg-type]
    if table is None:
        return []
    return [item.destination.host for route in table.routes for item in _forward(route).destinations]


def _forward(route: ir.Route) -> ir.Forward:
    assert isinstance(route.action, ir.Forward)
    return route.action


# --- who decides ----------------------------------------------------------------------------------------------------


def test_without_a_virtual_service_there_is_no_table() -> None:
    assert Reader(made := snapshot(service("reviews", 9080))).route_table(scope(made), REVIEWS, 9080) is None


def test_a_short_host_is_of_the_objects_own_namespace() -> None:
    made = snapshot(vs("other/v", "reviews", "a.com"))
    assert destinations(made) == []
    assert destinations(made, "reviews.other.svc.cluster.local") == ["a.com"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_oldest_virtual_service_wins_a_host(order: tuple[int, int]) -> None:
    both = [
        vs("z-old", REVIEWS, "old.com", created="2019-01-01T00:00:00Z"),
        vs("a-new", REVIEWS, "new.com", created="2021-01-01T00:00:00Z"),
    ]
    assert destinations(snapshot(*(both[i] for i in order))) == ["old.com"]


def test_of_the_same_age_the_name_decides() -> None:
    assert destinations(snapshot(vs("b", REVIEWS, "b.com"), vs("a", REVIEWS, "a.com"))) == ["a.com"]


def test_the_most_specific_host_wins_whatever_its_age() -> None:
    made = snapshot(
        vs("all", "*", "all.com", created="2018-01-01T00:00:00Z"),
        vs("suffix", "*.default.svc.cluster.local", "suffix.com", created="2019-01-01T00:00:00Z"),
        vs("exact", REVIEWS, "exact.com", created="2020-01-01T00:00:00Z"),
    )
    assert destinations(made) == ["exact.com"]
    assert destinations(made, RATINGS) == ["suffix.com"]
    assert destinations(made, "else.org") == ["all.com"]


@pytest.mark.parametrize(
    ("export", "seen_from"),
    [((), "any"), (("*",), "any"), ((".",), "default"), (("shop",), "shop"), (("~",), None)],
)
def test_a_virtual_service_is_seen_where_it_is_exported(
    export: tuple[str, ...], seen_from: str | None
) -> None:
    made = snapshot(vs("v", REVIEWS, "a.com", exportTo=list(export)))
    for namespace in ("default", "shop", "third"):
        expected = ["a.com"] if seen_from in ("any", namespace) else []
        assert destinations(made, namespace=namespace) == expected


def test_one_that_is_not_seen_gives_way_to_the_next() -> None:
    made = snapshot(
        vs("hidden", REVIEWS, "hidden.com", created="2019-01-01T00:00:00Z", exportTo=["shop"]),
        vs("shown", REVIEWS, "shown.com", created="2020-01-01T00:00:00Z"),
    )
    assert destinations(made, namespace="default") == ["shown.com"]
    assert destinations(made, namespace="shop") == ["hidden.com"]


def test_one_for_gateways_only_is_none_for_sidecars() -> None:
    assert destinations(snapshot(vs("v", REVIEWS, "a.com", gateways=["edge"]))) == []
    assert destinations(snapshot(vs("v", REVIEWS, "a.com", gateways=["edge", "mesh"]))) == ["a.com"]


# --- what of it -----------------------------------------------------------------------------------------------------

ROUTES = """
hosts: [reviews]
http:
- match:
  - {sourceLabels: {app: web}, uri: {prefix: /labelled}}
  route: [{destination: {host: labelled.com}}]
- match: [{sourceNamespace: shop}]
  route: [{destination: {host: namespaced.com}}]
- match: [{port: 8080}]
  route: [{destination: {host: ported.com}}]
- match: [{gateways: [edge]}]
  route: [{destination: {host: edge.com}}]
- match: [{gateways: [mesh], uri: {prefix: /mesh}}]
  route: [{destination: {host: mesh.com}}]
"""


@pytest.mark.parametrize(
    ("who", "port", "expected"),
    [
        ({}, 9080, ["mesh.com"]),
        ({"app": "web"}, 9080, ["labelled.com", "mesh.com"]),
        ({"app": "other"}, 9080, ["mesh.com"]),
        ({"namespace": "shop"}, 9080, ["namespaced.com"]),
        ({}, 8080, ["ported.com"]),
        ({"app": "web", "namespace": "shop"}, 9080, ["labelled.com", "namespaced.com"]),
    ],
)
def test_what_a_match_says_of_the_caller_is_decided_for_it(
    who: dict[str, str], port: int, expected: list[str]
) -> None:
    made = snapshot(obj("VirtualService", "v", ROUTES))
    assert destinations(made, port=port, **who) == expected


def test_where_no_route_is_left_the_service_keeps_its_own() -> None:
    made = snapshot(obj("VirtualService", "v", ROUTES.partition("- match: [{gateways: [mesh]")[0]))
    assert destinations(made) == []


def test_each_match_is_a_route_of_its_own_with_its_name() -> None:
    made = snapshot(
        obj(
            "VirtualService",
            "v",
            """
            hosts: [reviews]
            http:
            - name: r
              match: [{name: a, uri: {prefix: /a}}, {uri: {prefix: /b}}]
              route: [{destination: {host: a.com}}]
            - match: [{name: c, uri: {prefix: /c}}]
              route: [{destination: {host: c.com}}]
            """,
        )
    )
    table = Reader(made).route_table(scope(made), REVIEWS, 9080)
    assert table is not None
    assert [(route.name, route.match.uri) for route in table.routes] == [
        ("r.a", prefix("/a")),
        ("r", prefix("/b")),
        (".c", prefix("/c")),
    ]


@pytest.mark.parametrize(
    ("first", "stops"),
    [
        ("{uri: {prefix: /}}", True),
        ("{uri: {regex: '.*'}}", True),
        ("{uri: {prefix: /}, headers: {a: {}}}", False),
        ("{uri: {prefix: /a}}", False),
        ("{method: {exact: GET}}", False),
    ],
)
def test_after_a_route_that_takes_everything_nothing_follows(first: str, stops: bool) -> None:
    made = snapshot(
        obj(
            "VirtualService",
            "v",
            f"""
            hosts: [reviews]
            http:
            - match: [{first}]
              route: [{{destination: {{host: a.com}}}}]
            - route: [{{destination: {{host: b.com}}}}]
            """,
        )
    )
    assert destinations(made) == (["a.com"] if stops else ["a.com", "b.com"])


# --- what depends on other objects ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ports", "written", "port"),
    [
        ((9080,), "", 9080),
        ((8000,), "", 8000),
        ((8000, 8001), "", 9080),
        ((), "", 9080),
        ((8000,), ", port: {number: 7}", 7),
    ],
)
def test_the_port_of_a_destination(ports: tuple[int, ...], written: str, port: int) -> None:
    spec = f"{{hosts: [reviews], http: [{{route: [{{destination: {{host: ratings{written}}}}}]}}]}}"
    made = snapshot(service("ratings", *ports), obj("VirtualService", "v", spec))
    table = Reader(made).route_table(scope(made), REVIEWS, 9080)
    assert table is not None
    assert _forward(table.routes[0]).destinations == (to(RATINGS, port),)


@pytest.mark.parametrize(
    ("route", "mesh", "attempts"),
    [
        ("", "", 2),
        ("", "defaultHttpRetryPolicy: {attempts: 5}", 5),
        ("", "defaultHttpRetryPolicy: {attempts: 0}", None),
        ("retries: {attempts: 3},", "defaultHttpRetryPolicy: {attempts: 5}", 3),
        ("retries: {attempts: 0},", "", None),
    ],
)
def test_retries_are_the_routes_or_the_meshs(route: str, mesh: str, attempts: int | None) -> None:
    spec = f"{{hosts: [reviews], http: [{{{route} route: [{{destination: {{host: ratings}}}}]}}]}}"
    made = snapshot(mesh_config(mesh), obj("VirtualService", "v", spec))
    table = Reader(made).route_table(scope(made), REVIEWS, 9080)
    assert table is not None
    retry = _forward(table.routes[0]).retry
    assert (retry.attempts if retry else None) == attempts


def test_consistent_hashing_of_a_destination_is_on_the_route_and_its_retries_stay_on_the_host() -> None:
    made = snapshot(
        vs("v", "reviews", "ratings"),
        obj(
            "DestinationRule",
            "d",
            "{host: ratings, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: user}}}}",
        ),
    )
    table = Reader(made).route_table(scope(made), REVIEWS, 9080)
    assert table is not None
    forward = _forward(table.routes[0])
    assert forward.hash == (ir.HashPolicy(header="user"),)
    assert forward.retry is not None
    assert not forward.retry.ignore_previous_hosts


# --- delegates ------------------------------------------------------------------------------------------------------

ROOT = """
hosts: [reviews]
http:
- name: root
  match: [{uri: {prefix: /shop}, headers: {a: {exact: x}}}]
  timeout: 3s
  delegate: {name: child, namespace: team}
"""


def delegating(child: str, namespace: str = "team") -> tuple[ir.Route, ...]:
    made = snapshot(
        obj("VirtualService", "default/root", ROOT), obj("VirtualService", f"{namespace}/child", child)
    )
    table = Reader(made).route_table(scope(made), REVIEWS, 9080)
    return table.routes if table else ()


def test_a_delegates_routes_stand_in_the_place_of_the_root_narrowed_by_its_matches() -> None:
    routes = delegating(
        """
        http:
        - name: cart
          match: [{uri: {prefix: /shop/cart}}]
          timeout: 1s
          route: [{destination: {host: cart}}]
        - match: [{uri: {prefix: /other}}]
          route: [{destination: {host: never}}]
        - route: [{destination: {host: rest}}]
        """
    )
    header = (ir.NamedMatch("a", ir.StringMatch(ir.MatchKind.EXACT, "x")),)
    assert [(route.name, route.match, _forward(route).timeout) for route in routes] == [
        ("root-cart", ir.RouteMatch(uri=prefix("/shop/cart"), headers=header), 1000),
        ("root", ir.RouteMatch(uri=prefix("/shop"), headers=header), 3000),
    ]
    assert [_forward(route).destinations[0].destination.host for route in routes] == [
        "cart.team.svc.cluster.local",
        "rest.team.svc.cluster.local",
    ]


def test_claims_narrow_a_delegate_as_headers_do() -> None:
    def routes(claim: str) -> tuple[ir.Route, ...]:
        root = """
        hosts: [reviews]
        http:
        - match: [{headers: {"@request.auth.claims.sub": {exact: alice}}}]
          delegate: {name: child, namespace: default}
        """
        child = f"http: [{{match: [{{headers: {{{claim}}}}}], route: [{{destination: {{host: cart}}}}]}}]"
        made = snapshot(
            obj("VirtualService", "default/root", root), obj("VirtualService", "default/child", child)
        )
        table = Reader(made).route_table(scope(made), REVIEWS, 9080)
        return table.routes if table else ()

    (route,) = routes("'@request.auth.claims.team': {exact: red}")
    alice = ir.ClaimMatch(("sub",), ir.StringMatch(ir.MatchKind.EXACT, "alice"))
    red = ir.ClaimMatch(("team",), ir.StringMatch(ir.MatchKind.EXACT, "red"))
    assert route.match == ir.RouteMatch(claims=(alice, red))
    assert routes("'@request.auth.claims.sub': {exact: bob}") == ()


@pytest.mark.parametrize(
    ("child", "namespace"),
    [
        ("{hosts: [a.com], http: [{route: [{destination: {host: rest}}]}]}", "team"),
        ("{exportTo: [.], http: [{route: [{destination: {host: rest}}]}]}", "team"),
        ("{http: [{route: [{destination: {host: rest}}]}]}", "elsewhere"),
        ("{http: [{match: [{headers: {a: {exact: y}}}], route: [{destination: {host: rest}}]}]}", "team"),
        ("{http: [{match: [{uri: {regex: '/shop.*'}}], route: [{destination: {host: rest}}]}]}", "team"),
        ("{http: [{delegate: {name: other}}]}", "team"),
    ],
)
def test_what_is_no_delegate_of_the_root_gives_it_nothing(child: str, namespace: str) -> None:
    assert delegating(child, namespace) == ()


# --- TCP and TLS ----------------------------------------------------------------------------------------------------

TCP = """
hosts: [reviews]
tcp:
- match: [{port: 9000, sourceLabels: {app: web}}]
  route: [{destination: {host: a.com}}]
- match: [{port: 9000, destinationSubnets: [10.0.0.0/8]}]
  route: [{destination: {host: b.com}}]
- match: [{port: 9000}]
  route: [{destination: {host: c.com}, weight: 25}, {destination: {host: d.com}, weight: 75}]
tls:
- match: [{port: 443, sniHosts: [x.com, '*.y.com']}, {port: 8443, sniHosts: [z.com]}]
  route: [{destination: {host: e.com, port: {number: 444}}}]
"""


@pytest.mark.parametrize(
    ("labels", "addresses", "port", "expected"),
    [
        ({"app": "web"}, (), 9000, (to("a.com", 9000),)),
        ({}, ("10.1.1.1",), 9000, (to("b.com", 9000),)),
        ({}, ("192.0.2.1",), 9000, (to("c.com", 9000, weight=25), to("d.com", 9000, weight=75))),
        ({}, (), 9001, None),
    ],
)
def test_tcp_goes_where_the_first_match_says(
    labels: dict[str, str], addresses: tuple[str, ...], port: int, expected: object
) -> None:
    made = snapshot(service("reviews", 9000, 9001, addresses=addresses), obj("VirtualService", "v", TCP))
    assert Reader(made).tcp_destinations(scope(made, **labels), REVIEWS, port) == expected  # type: ignore[arg-type]


def test_tls_goes_by_server_name() -> None:
    made = snapshot(obj("VirtualService", "v", TCP))
    read = Reader(made).tls_routes
    assert read(scope(made), REVIEWS, 443) == (ir.TlsRoute(("x.com", "*.y.com"), (to("e.com", 444),)),)
    assert read(scope(made), REVIEWS, 8443) == (ir.TlsRoute(("z.com",), (to("e.com", 444),)),)
    assert read(scope(made), REVIEWS, 1) == ()
