"""Every connection manager takes off what a request says of its caller; those of called workloads tell who it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate import caller
from argosy.translate.dump import dump
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.unit.translate.mesh import populate, put
from tests.unit.translate.test_gateway import bound, gateway
from tests.unit.translate.test_http3 import SERVERS, annotated

EGRESS = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec:
  egress:
  - {port: {number: 9999, protocol: HTTP, name: own}, bind: 127.0.0.1, captureMode: NONE, hosts: ["*/*"]}
  - {hosts: ["*/*"]}
"""


def managers(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every HttpConnectionManager in a dump, and where it stands."""
    if isinstance(value, dict):
        path = f"{path}/{value['name']}" if isinstance(value.get("name"), str) else path
        if str(value.get("@type", "")).endswith(".HttpConnectionManager"):
            yield path, value
        for one in value.values():
            yield from managers(one, path)
    elif isinstance(value, list):
        for one in value:
            yield from managers(one, path)


def taken_off(manager: dict[str, Any]) -> list[str]:
    return [
        mutation["remove_on_match"]["key_matcher"]["safe_regex"]["regex"]
        for early in manager.get("early_header_mutation_extensions", ())
        for mutation in early["typed_config"]["mutations"]
        if "remove_on_match" in mutation
    ]


def told(manager: dict[str, Any]) -> list[str]:
    return [
        mutation["append"]["header"]["value"]
        for early in manager["early_header_mutation_extensions"]
        for mutation in early["typed_config"]["mutations"]
        if mutation.get("append", {}).get("header", {}).get("key") == caller.HEADER
    ]


def proxies() -> Iterator[tuple[str, Snapshot, Proxy]]:
    for interception in (Interception.EXPLICIT, Interception.REDIRECT):
        for parted in ((), ("http_proxy",)):
            snapshot = Snapshot()
            populate(snapshot)
            scope = Scope(
                type=ProxyType.SIDECAR, interception=interception, namespace="default", parted=parted
            )
            upstreams = (DeclaredUpstream("reviews", 9080, 1234),)
            yield (
                f"{interception} {parted}",
                snapshot,
                Proxy(
                    namespace="default", name="reviews-v1", scope=scope, outbound_port=1, upstreams=upstreams
                ),
            )
    snapshot = Snapshot()
    populate(snapshot)
    put(snapshot, EGRESS)
    scope = scope_of(
        Reader(snapshot), type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default"
    )
    yield "egress", snapshot, Proxy(namespace="default", name="reviews-v1", scope=scope, outbound_port=1)
    snapshot = Snapshot()
    populate(snapshot)
    put(snapshot, annotated(gateway(SERVERS), "true"))
    put(snapshot, bound("{hosts: ['*'], http: [{route: [{destination: {host: cache}}]}]}"))
    scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace="edge")
    yield "gateway", snapshot, Proxy(namespace="edge", name="gw", scope=scope)


ALL = list(proxies())


@pytest.mark.parametrize(("snapshot", "proxy"), [one[1:] for one in ALL], ids=[one[0] for one in ALL])
def test_every_connection_manager_takes_it_off(snapshot: Snapshot, proxy: Proxy) -> None:
    found = list(managers(dump(snapshot, proxy)))
    assert found
    for path, manager in found:
        assert taken_off(manager) == list(caller.LOOK_ALIKES), path
        inbound = "inbound" in path.lower()
        assert told(manager) == ([caller.IDENTITY] if inbound else []), path


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("x-argosy-caller", True),
        ("x_argosy_caller", True),
        ("x-argosy_caller", True),
        ("x.argosy!caller", True),
        ("x-forwarded_client-cert", True),
        ("x_forwarded_client_cert", True),
        ("x-forwarded-client.cert", True),
        ("x-forwarded-client-cert", False),  # the connection manager's own work
        ("x-forwarded-for", False),
        ("x-argosy-callers", False),
        ("my-x-argosy-caller", False),
        ("xxargosy-caller", False),
    ],
)
def test_the_names_that_are_taken_off(name: str, off: bool) -> None:
    assert any(re.fullmatch(one, name) for one in caller.LOOK_ALIKES) == off


def test_only_names_that_read_alike_are_taken_off() -> None:
    """A program that makes variables of headers writes `_` for what is neither letter nor digit."""
    separators = [chr(code) for code in range(33, 127) if not chr(code).isalnum()]
    names = [f"x{a}argosy{b}caller" for a in separators for b in separators]
    assert all(re.fullmatch(caller.LOOK_ALIKES[0], name) for name in names)
    names = [f"x{a}forwarded{b}client{c}cert" for a in separators for b in separators for c in separators]
    passed = [name for name in names if not re.fullmatch(caller.LOOK_ALIKES[1], name)]
    assert passed == [caller.CERTIFICATE]
