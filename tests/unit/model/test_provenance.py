"""Origins stand in the order of what they are the origins of, over random configuration."""

from __future__ import annotations

import pytest

from argosy.model.provenance import Provenance
from argosy.model.routing import Place, hindrance, holds
from argosy.model.scope import ProxyType, scope_of
from tests.e2e.explained_edges import GATEWAY_LABELS, PORTS
from tests.e2e.explained_mesh import ENDPOINTS as NAMED
from tests.e2e.explained_mesh import LABELS
from tests.e2e.explained_requests import Generator
from tests.unit.model.written import obj, service, snapshot

ENDPOINTS = dict.fromkeys(NAMED, 1)


@pytest.mark.parametrize("seed", range(40))
def test_each_route_has_its_origin(seed: int) -> None:
    made = Generator(seed, ENDPOINTS).mesh().snapshot
    reader = Provenance(made)
    scope = scope_of(reader, namespace="default", labels=LABELS)
    for host in (*reader.hosts(), *reader.virtual_hosts()):
        for port in PORTS:
            table = reader.route_table(scope, host, port)
            origins = reader.route_origins(scope, host, port)
            assert len(origins) == len(table.routes if table else ())
            for route, written in zip(table.routes if table else (), origins, strict=True):
                rule = made.virtual_services.rules[written.ref[1:]]
                position = int(written.field.split("[")[1].split("]")[0])
                assert rule.http[position].name in route.name, "of the rule that is named"
    router = scope_of(reader, type=ProxyType.ROUTER, namespace="default", labels=GATEWAY_LABELS)
    for server in (one for listener in reader.gateway_listeners(router) for one in listener.servers):
        hosts = reader.gateway_hosts(router, server)
        assert [(one.host, len(one.table.routes)) for one in hosts] == [
            (host, len(origins)) for host, origins in reader.gateway_origins(router, server)
        ]
        assert len(reader.gateway_tls(router, server)) == len(reader.gateway_tls_origins(router, server))
        origins = reader.gateway_tcp_origins(router, server)
        assert len(origins) >= len(reader.gateway_tcp(router, server))


@pytest.mark.parametrize("seed", range(40))
def test_what_hinders_a_match_is_told_where_it_does_not_hold(seed: int) -> None:
    made = Generator(seed, ENDPOINTS).mesh().snapshot
    scope = scope_of(Provenance(made), namespace="default", labels=LABELS)
    for rule in made.virtual_services.rules.values():
        for match in (match for http in rule.http for match in http.matches):
            for place in (Place(scope, "mesh", 80), Place(scope, "default/gw-0", 8080)):
                assert holds(match.source, place) is not bool(hindrance(match.source, place))


def test_who_made_a_service_and_its_policy() -> None:
    rules = [obj("DestinationRule", name, {"host": "reviews"}) for name in ("b", "a")]
    made = snapshot(service("reviews", 9080), *rules)
    reader = Provenance(made)
    host = "reviews.default.svc.cluster.local"
    assert reader.service_origins(host) == (("Service", "default", "reviews"),)
    scope = scope_of(reader, namespace="default")
    assert [ref[2] for ref in reader.destination_origins(scope, host)] == ["a", "b"]
    assert reader.peer_origin("default", (), 9080) is None
