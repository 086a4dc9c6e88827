"""The evaluator against real Envoy where random configuration seldom comes: a few odd ones, written by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from argosy.explain.evaluate import Evaluator, Sender
from argosy.explain.outcome import Forwarded, Unrouted
from argosy.explain.request import ClientCertificate, Request, Spoken
from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from tests.e2e.explained_answers import difference
from tests.e2e.explained_comparison import connection_difference, expected_of
from tests.e2e.explained_connections import Whose, shown
from tests.e2e.explained_edges import (
    CREDENTIAL,
    GATEWAY_LABELS,
    GATEWAY_PORT,
    LOOKED_UP,
    OF_OUTSIDE,
    TLS_PORT,
    WILD,
    written,
)
from tests.e2e.explained_envoy import Lab, lab
from tests.e2e.explained_told import scope_at
from tests.e2e.own_address import OWN_ADDRESS

pytestmark = pytest.mark.e2e

ENDS = {"mode": "SIMPLE", "credentialName": CREDENTIAL}


@pytest_asyncio.fixture
async def envoy(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as found:
        yield found


def gateway(name: str, *servers: dict[str, Any]) -> dict[str, Any]:
    return written("Gateway", name, "default", {"selector": dict(GATEWAY_LABELS), "servers": list(servers)})


def server(port: int, protocol: str, host: str, tls: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "port": {"number": port, "name": f"p-{port}", "protocol": protocol},
        "hosts": [host],
    }
    return found if tls is None else found | {"tls": tls}


def put(made: Snapshot, *objects: dict[str, Any]) -> Snapshot:
    for one in objects:
        made.put_config(decode(one))
    assert not made.rejected
    return made


def service(made: Snapshot, envoy: Lab, name: str, protocol: Protocol) -> dict[str, Any]:
    """A service without a sidecar; what leads to it."""
    host = f"{name}.test"
    port = ir.ServicePort(name="p", number=80, protocol=protocol)
    made.put_service(ir.Service(hostname=host, name=name, namespace="default", ports=(port,)))
    at = envoy.endpoints[name, "v2" if name == "alpha" else "v1"]
    made.put_endpoints(host, (ir.Endpoint(address="127.0.0.1", port=at, port_name="p"),))
    return {"destination": {"host": host, "port": {"number": 80}}}


def evaluator(made: Snapshot, entry: str) -> Evaluator:
    return Evaluator(made, Sender(entry, scope_at(made, entry)))


async def test_of_the_chains_for_one_name_the_clients_network_decides(envoy: Lab) -> None:
    """Who is in none of them is let in by no chain for other names."""
    made = Snapshot()
    near, far, rest = (service(made, envoy, name, Protocol.TCP) for name in ("alpha", "beta", "gamma"))
    narrow = [{"match": [{"sourceSubnet": "127.1.0.0/24"}], "route": [near]}]
    put(
        made,
        gateway("one", server(TLS_PORT, "TLS", "only.test", ENDS)),
        gateway("all", server(TLS_PORT, "TLS", "*", ENDS)),
        gateway("tls", server(TLS_PORT, "TLS", "both.test", {"mode": "PASSTHROUGH"})),
        written(
            "VirtualService", "one", "default", {"hosts": ["only.test"], "gateways": ["one"], "tcp": narrow}
        ),
        written(
            "VirtualService",
            "all",
            "default",
            {"hosts": ["*"], "gateways": ["all"], "tcp": [{"route": [far]}]},
        ),
        written(
            "VirtualService",
            "tls",
            "default",
            {
                "hosts": ["both.test"],
                "gateways": ["tls"],
                "tls": [{"match": [{"sniHosts": ["both.test"]}], "route": [rest]}],
            },
        ),
    )
    await envoy.apply(made)
    requests = [
        Request(authority=host, spoken=Spoken.TLS, port=TLS_PORT, source=source)
        for host in ("only.test", "any.test", "both.test")
        for source in ("127.0.0.1", "127.1.0.9")
    ]
    said = [evaluator(made, "gateway").evaluate(one) for one in requests]
    for request, expected, answer in zip(requests, said, await envoy.connect(requests), strict=True):
        assert connection_difference(request, expected, answer) == "", request
    assert [type(one.verdict) for one in said] == [Unrouted, *[Forwarded] * 5]


@pytest.mark.parametrize("entry", ["gateway", "captured 80"])
async def test_odd_requests(envoy: Lab, entry: str) -> None:
    made = Snapshot()
    to = service(made, envoy, "alpha", Protocol.HTTP)
    location = {"headers": {"response": {"set": {"location": "/elsewhere"}}}}

    def asked_for(name: str, value: dict[str, str], status: int) -> dict[str, Any]:
        return {"match": [{"headers": {name: value}}], "directResponse": {"status": status}}

    rules = [
        {"match": [{"uri": {"prefix": "/direct"}}], "directResponse": {"status": 200}, **location},
        {"match": [{"uri": {"prefix": "/redirect"}}], "redirect": {"uri": "/b"}, **location},
        asked_for("x-forwarded-proto", {"exact": "https"}, 201),
        asked_for("x-a", {"exact": "a b"}, 202),
        asked_for("x-b", {}, 203),
        {"match": [{"headers": {"x-forwarded-proto": {"exact": "http"}}}], "route": [to]},
        {"directResponse": {"status": 205}},
    ]
    spec = {"hosts": ["alpha.test"], "gateways": ["mesh", "front"], "http": rules}
    put(
        made,
        gateway("front", server(GATEWAY_PORT, "HTTP", "*")),
        written("VirtualService", "odd", "default", spec),
    )
    await envoy.apply(made)
    requests = [
        Request(authority="alpha.test", path=path, method=method, headers=headers, port=80)
        for path, method, headers in (
            ("/direct", "GET", ()),
            ("/redirect", "GET", ()),
            ("*", "OPTIONS", ()),
            ("/", "GET", ()),
            *(("/", "GET", (("x-forwarded-proto", one),)) for one in ("https", "HTTPS", "http", "ftp")),
            *(("/", "GET", (("x-a", one),)) for one in ("a b", "  a b ", "a  b")),
            ("/", "GET", (("x-b", "1"),)),
            ("/", "GET", (("connection", "X-B"), ("x-b", "1"))),
            ("/", "GET", (("connection", "close, x-b"), ("x-b", "1"))),
        )
    ]
    requests = [replace(one, port=GATEWAY_PORT if entry == "gateway" else 80) for one in requests]
    for request, answer in zip(requests, await envoy.ask([(entry, one) for one in requests]), strict=True):
        expected = expected_of(evaluator(made, entry), request)
        assert difference(request, expected, answer) == "", request


@pytest.mark.parametrize("mode", ["MUTUAL", "OPTIONAL_MUTUAL"])
@pytest.mark.parametrize("more", ["", "subjectAltNames", "verifyCertificateSpki", "verifyCertificateHash"])
@pytest.mark.parametrize("skipped", [False, True])
async def test_which_clients_are_let_in(envoy: Lab, mode: str, more: str, skipped: bool) -> None:
    known = envoy.callers.certified
    asked_for = {
        "subjectAltNames": OF_OUTSIDE[0],
        "verifyCertificateSpki": known[Whose.OUTSIDE].spki,
        "verifyCertificateHash": known[Whose.OUTSIDE].digest,
    }
    tls: dict[str, Any] = {"mode": mode, "credentialName": CREDENTIAL, "insecureSkipVerify": skipped}
    tls |= {more: [asked_for[more]]} if more else {}
    made = put(Snapshot(), gateway("front", server(TLS_PORT, "HTTPS", "*", tls)))
    await envoy.apply(made)
    requests = [
        Request(
            authority="a.test", spoken=Spoken.TLS, port=TLS_PORT, source="127.0.0.1",
            certificate=shown(whose, mode), certified=known.get(whose),
        )
        for whose in Whose
    ]  # fmt: skip
    for request, answer in zip(requests, await envoy.connect(requests), strict=True):
        expected = evaluator(made, "gateway").evaluate(request)
        assert connection_difference(request, expected, answer) == "", request
    assert requests[0].certificate is ClientCertificate.NONE


@pytest.mark.skipif(
    OWN_ADDRESS is None, reason="this host has no address but the loopback, which no name may have"
)
@pytest.mark.parametrize("entry", ["proxy", "gateway"])
async def test_names_that_are_looked_up(envoy: Lab, entry: str) -> None:
    made, number = Snapshot(), envoy.endpoints[LOOKED_UP]
    port = ir.ServicePort(name="p", number=number, protocol=Protocol.HTTP)
    made.put_service(
        ir.Service(
            hostname=f"*{WILD}", name="wild", namespace="default", ports=(port,), external=True,
            resolution=ir.Resolution.DYNAMIC_DNS,
        )
    )  # fmt: skip
    to = {"destination": {"host": f"*{WILD}", "port": {"number": number}}}
    headers = {"headers": {"request": {"set": {"Host": f"c{WILD}"}}}}
    rules = [
        {
            "match": [{"uri": {"prefix": "/rewritten"}}],
            "rewrite": {"authority": f"b{WILD}:81"},
            "route": [to],
        },
        {"match": [{"uri": {"prefix": "/set"}}], "route": [to], **headers},
        {"match": [{"uri": {"prefix": "/unknown"}}], "rewrite": {"authority": "b.test"}, "route": [to]},
        {"match": [{"uri": {"prefix": "/two"}}], "route": [to | headers | {"weight": 1}, to | {"weight": 1}]},
        {"route": [to]},
    ]
    served = server(GATEWAY_PORT, "HTTP", "*")
    spec = {"hosts": ["only.test", f"a{WILD}"], "gateways": ["mesh", "front"], "http": rules}
    put(made, gateway("front", served), written("VirtualService", "wild", "default", spec))
    await envoy.apply(made)
    requests = [
        Request(authority=host, path=path, port=80 if entry == "proxy" else GATEWAY_PORT)
        for host in ("only.test", f"a{WILD}", f"a{WILD}:{number}", f"a{WILD}:82")
        for path in ("/rewritten", "/set", "/unknown", "/two", "/")
    ]
    answers = await envoy.ask([(entry, one) for one in requests])
    for request, answer in zip(requests, answers, strict=True):
        expected = evaluator(made, entry).evaluate(request)
        assert difference(request, expected, answer) == "", request
    assert sum(one.got is not None for one in answers) >= 6
