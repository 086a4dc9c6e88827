"""Routes in parts, in real Envoy: whatever a request writes as its host, Envoy works out the part that we do."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from envoy.config.route.v3 import route_pb2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from argosy.model import ir
from argosy.model.scope import Scope
from argosy.model.snapshot import Snapshot
from argosy.translate import parts
from argosy.translate.generator import resource
from argosy.translate.names import HTTP_PROXY
from argosy.translate.proxy import Proxy
from argosy.translate.resource import ROUTE
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import running
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


class Asked:
    """Sends requests to a sidecar of which each part answers with its number."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection = socket.create_connection(("127.0.0.1", port), 20)

    def answer(self, request: bytes) -> tuple[int, str]:
        self.connection.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            more = self.connection.recv(4096)
            assert more, got
            got += more
        head, _, body = got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += self.connection.recv(4096)
        if b"connection: close" in head.lower():
            self.connection.close()
            self.connection = socket.create_connection(("127.0.0.1", self.port), 20)
        return int(head.split(b" ", 2)[1]), body.decode()

    def part(self, host: str, more: str = "") -> tuple[int, str]:
        return self.answer(f"GET / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode("latin-1"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    port = free_port()
    proxy = Proxy(namespace="default", name="c", scope=Scope(parted=(HTTP_PROXY,)), outbound_port=port)
    folder = tmp_path_factory.mktemp("parts")
    with running(folder, Snapshot(ir.Mesh()), proxy, "spiffe://cluster.local/ns/default/sa/c") as envoy:
        answering = {}
        for part in parts.ALL:
            name = parts.name(HTTP_PROXY, part)
            made = route_pb2.RouteConfiguration(name=name)
            host = made.virtual_hosts.add(name="all", domains=["*"])
            route = host.routes.add()
            route.match.prefix = "/"
            route.direct_response.status = 200
            route.direct_response.body.inline_string = str(part)
            answering[name] = resource(name, made)
        envoy.ads.push(ROUTE, answering, set())
        until(envoy.ads.settled, "Envoy answers all that was sent")
        assert not envoy.ads.refused
        yield Asked(port)


LABEL = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=12)
HOST = st.one_of(
    st.lists(LABEL, min_size=1, max_size=5).map(".".join),
    st.tuples(LABEL, st.integers(1, 65535)).map(lambda one: f"{one[0]}:{one[1]}"),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda one: f"[{one}]:80"),
    st.text(".:-_a0Z[]~!$&'()*+,;=%@", min_size=1, max_size=8),
)


@settings(max_examples=500, deadline=None)
@given(host=HOST)
@example("a" * 300)
@example("a.b:80")
@example("a..b")
@example("1.2.3.4:80")
@example("1.a.2")
@example("a.1.b")
@example("-")
def test_envoy_works_out_the_part_that_we_do(asked: Asked, host: str) -> None:
    status, said = asked.part(host)
    if status == 400:  # Envoy takes it for no host
        return
    assert (status, said) == (200, str(parts.part_of(host)))


def test_what_the_application_says_of_parts_is_not_believed(asked: Asked) -> None:
    said = f"{parts.HEADER}: http_proxy/2\r\n"
    assert parts.part_of("reviews") != 2
    assert asked.part("reviews", said) == (200, str(parts.part_of("reviews")))


def test_every_request_has_a_part(asked: Asked) -> None:
    """Also one without a host, which HTTP/1.0 allows: it must not fall between the scopes."""
    assert asked.answer(b"GET / HTTP/1.0\r\n\r\n")[0] in (200, 400, 426)
    assert asked.answer(b"GET http://reviews/x HTTP/1.1\r\nHost: elsewhere\r\n\r\n") == (
        200,
        str(parts.part_of("reviews")),
    ), "the URL's host counts, as in the choice of a virtual host"
