"""The local ports of declared upstreams."""

from __future__ import annotations

import pytest

from argosy.explain.declared import Upstream
from argosy.explain.outcome import Forwarded, Unrouted
from argosy.model.scope import Interception
from tests.unit.explain.asked import SHOP, asked, clusters, shop, virtual_service

UPSTREAMS = (
    Upstream("reviews", 9080, 7000),
    Upstream("cache.shop", 6379, 7001),
    Upstream("nobody", 80, 7002),
    Upstream(f"reviews.{SHOP}", 9080, 7003),
)


@pytest.mark.parametrize(
    ("destination", "cluster"),
    [
        ("http://localhost:7000/", f"outbound|9080||reviews.{SHOP}"),
        ("http://127.0.0.1:7003/", f"outbound|9080||reviews.{SHOP}"),
        ("127.0.0.1:7000", f"outbound|9080||reviews.{SHOP}"),
        ("tcp://127.0.0.1:7001", f"outbound|6379||cache.{SHOP}"),
        ("localhost:7001", f"outbound|6379||cache.{SHOP}"),
        ("http://localhost:7001/", f"outbound|6379||cache.{SHOP}"),
    ],
)
def test_a_local_port_leads_to_what_was_declared(destination: str, cluster: str) -> None:
    found = asked(shop(), destination, upstreams=UPSTREAMS)
    assert clusters(found) == [cluster]
    assert found.steps[0].name.startswith("upstream_")
    assert "is the declared upstream" in found.steps[0].because


def test_what_comes_is_routed_as_to_the_host_and_sent_on_with_its_authority() -> None:
    rules = "[{match: [{uri: {exact: /r}}], rewrite: {authority: other}, route: [{destination: {host: reviews}}]},"
    rules += " {route: [{destination: {host: reviews}}]}]"
    made = shop(virtual_service(rules))
    for path, host, authority in (
        ("/r", "localhost:7000", "other"),
        ("/", "localhost:7000", "reviews:9080"),
        ("/", "127.0.0.1:7003", f"reviews.{SHOP}:9080"),
    ):
        found = asked(made, f"http://{host}{path}", upstreams=UPSTREAMS)
        assert isinstance(found.verdict, Forwarded)
        assert found.verdict.targets[0].authority == authority
    named = asked(made, "http://127.0.0.1:7000/", ("Host", "whatever"), upstreams=UPSTREAMS)
    assert isinstance(named.verdict, Forwarded)
    assert named.verdict.targets[0].authority == "reviews:9080"


def test_what_leads_nowhere() -> None:
    gone = asked(shop(), "http://localhost:7002/", upstreams=UPSTREAMS).verdict
    assert gone == Unrouted(503, "no service nobody:80 in the mesh, or it is not visible here")
    bytes_ = asked(shop(), "tcp://localhost:7000", upstreams=UPSTREAMS).verdict
    assert bytes_ == Unrouted(400, "the listener speaks HTTP, and this does not")


@pytest.mark.parametrize("destination", ["http://localhost:7009/", "http://10.0.0.1:7000/"])
def test_other_ports_and_addresses_are_none(destination: str) -> None:
    found = asked(shop(), destination, upstreams=UPSTREAMS)
    assert found.steps[0].name == "outbound_proxy"


def test_where_all_is_captured_there_are_none() -> None:
    found = asked(shop(), "http://127.0.0.1:7000/", interception=Interception.REDIRECT, upstreams=UPSTREAMS)
    assert found.steps[0].name == "virtualOutbound"
