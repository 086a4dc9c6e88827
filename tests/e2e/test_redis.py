"""Redis behind Envoy's own filter, put there by an EnvoyFilter: real servers, real commands, keys spread over them."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import urllib.request
from contextlib import closing
from typing import Any, BinaryIO

import pytest

from argosy.agent.admin import Admin
from tests.e2e.mesh import Mesh, listening, until

BINARY = shutil.which("redis-server")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        BINARY is None, reason="=== SKIPPED: redis-server is not installed (apt-get install redis-server) ==="
    ),
]

FILTER = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: redis, namespace: default}
spec:
  workloadSelector: {labels: {app: shop}}
  configPatches:
  - applyTo: NETWORK_FILTER
    match:
      context: SIDECAR_OUTBOUND
      listener: {name: 0.0.0.0_6379, filterChain: {filter: {name: envoy.filters.network.tcp_proxy}}}
    patch:
      operation: REPLACE
      value:
        name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: cache
          settings: {op_timeout: 5s}
          prefix_routes: {catch_all_route: {cluster: outbound|6379||cache.default.svc.cluster.local}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cache, namespace: default}
spec:
  host: cache
  trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}
"""
KEYS = [f"basket:{number}" for number in range(60)]


REFUSED = "-ERR unknown command 'DEBUG', with args beginning with: NONE"
"""What Envoy says of commands that it does not know where to send."""


class Redis:
    """A connection that sends commands and reads answers (RESP2)."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), 10)
        self.answers: BinaryIO = self.connection.makefile("rb")

    def __call__(self, *words: str) -> object:
        self.connection.sendall(
            f"*{len(words)}\r\n".encode() + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)
        )
        return self.answer()

    def answer(self) -> object:
        line = self.answers.readline().decode().rstrip("\r\n")
        assert line, "the connection was closed"
        kind, rest = line[0], line[1:]
        match kind:
            case "+" | "-":
                return f"{kind}{rest}"
            case ":":
                return int(rest)
            case "$":
                return None if rest == "-1" else self.answers.read(int(rest) + 2)[:-2].decode()
            case "*":
                return [self.answer() for _ in range(int(rest))]
        raise AssertionError(line)

    def close(self) -> None:
        self.answers.close()
        self.connection.close()


def asked_once(port: int, *words: str) -> object:
    with closing(Redis(port)) as redis:
        return redis(*words)


@pytest.fixture
def servers(mesh: Mesh) -> None:
    """Two, each with a sidecar of its own."""
    for number in (1, 2):
        mesh.run(
            "run",
            "--service=cache",
            f"--label=version=v{number}",
            "--port=6379:auto/tcp",
            "--",
            *(str(BINARY), "--port", "{port}", "--bind", "127.0.0.1", "--save", ""),
            name=f"cache-{number}",
        )
    mesh.announced("cache", count=2)


@pytest.fixture
def upstream(mesh: Mesh, servers: None) -> int:
    """The port of the declared upstream in the sidecar of the shop."""
    shop = mesh.client("shop", "--upstream=cache:6379")
    found = until(
        lambda: re.search(r"cache:6379\S*\s.*?127\.0\.0\.1:(\d+)", shop.run.output()), "the upstream is named"
    )
    port = int(found[1])
    until(lambda: listening(port), "the sidecar listens")
    return port


def own_ports(mesh: Mesh) -> list[int]:
    """Where the two servers themselves listen, behind their sidecars."""
    return [one["ports"][0]["application"] for one in mesh.ps() if one["service"] == "cache"]


def shop_of(mesh: Mesh) -> dict[str, Any]:
    (shop,) = (one for one in mesh.ps() if one["service"] == "shop")
    return shop


def statistics(mesh: Mesh) -> dict[str, int]:
    """What the filter in the sidecar of the shop counts."""
    said = asyncio.run(
        Admin(shop_of(mesh)["admin_socket"]).get("/stats?filter=^redis&type=Counters")
    ).decode()
    return {name: int(value) for name, _, value in (line.partition(": ") for line in said.splitlines())}


def test_commands_go_by_their_key_to_one_of_two_servers_and_are_counted(mesh: Mesh, upstream: int) -> None:
    mesh.apply(FILTER)
    values = [f"{number} items" for number in range(len(KEYS))]
    until(lambda: asked_once(upstream, "DEBUG", "NONE") == REFUSED, "the filter is there")
    before = statistics(mesh)["redis.cache.splitter.unsupported_command"]
    with closing(Redis(upstream)) as redis:
        assert redis("PING") == "+PONG"
        for key, value in zip(KEYS, values, strict=True):
            assert redis("SET", key, value) == "+OK"
        for key, value in zip(KEYS, values, strict=True):
            assert redis("GET", key) == value
        assert redis("MGET", *KEYS) == values, "one command, put together from the answers of both"
        assert redis("DEL", KEYS[0]) == 1
        assert redis("GET", KEYS[0]) is None
        assert redis("INCRBY", "visitors", "3") == 3
        assert redis("DEBUG", "NONE") == REFUSED
    sizes = [int(str(asked_once(port, "DBSIZE"))) for port in own_ports(mesh)]
    assert len(sizes) == 2
    assert all(sizes), f"each server has a share: {sizes}"
    assert sum(sizes) == len(KEYS), "and each key is on one of them alone"
    counted = statistics(mesh)
    assert counted["redis.cache.command.set.total"] == len(KEYS)
    assert counted["redis.cache.command.get.success"] == len(KEYS) + 1
    assert counted["redis.cache.command.mget.total"] == 1
    with urllib.request.urlopen(shop_of(mesh)["metrics_url"], timeout=10) as answer:
        assert f"envoy_redis_cache_command_set_total{{}} {len(KEYS)}" in answer.read().decode()
    assert counted["redis.cache.splitter.unsupported_command"] == before + 1


def test_without_the_filter_it_is_tcp_and_nothing_is_counted(mesh: Mesh, upstream: int) -> None:
    with closing(Redis(upstream)) as redis:
        assert redis("SET", "a", "b") == "+OK"
        assert redis("ECHO", "c") == "c"
        assert redis("DEBUG", "NONE") != REFUSED, "the server itself answers"
    assert statistics(mesh) == {}
