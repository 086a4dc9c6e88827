"""What does it cost a proxy to look at tokens: CPU of an Envoy per request, by algorithm, against one that does not?

One Envoy with the places of RequestAuthentication in its filter chain as the translator fills them, which answers by
itself, so that nothing else is measured. A token that was verified is remembered, so the same token is measured with
that, and without, as if each were new. CPU is
user + system time of the Envoy over many requests on open connections; rounds alternate between the variants, and the
median counts.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2
from google.protobuf import json_format
from msgspec import Struct

from argosy.model.ir.tokens import AUTHORIZATION, TokenRule
from argosy.translate.filters import request_authentication
from bench.envoys import TYPE, Json, envoy, http_listener, static
from bench.processes import cpu
from tests.ports import free_port
from tests.tokens import Key, key_set

Row = tuple[str, str, str]
ROUNDS, REQUESTS, CONNECTIONS = 5, 5_000, 5
ISSUER = "https://issuer.example"
ANSWER: Json = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}


class Variant(Struct, frozen=True, kw_only=True):
    name: str
    filters: tuple[Json, ...]
    token: str = ""
    status: int = 200


def places(rules: tuple[TokenRule, ...], *, forgets: bool = False) -> tuple[Json, ...]:
    """The two filters, with what ECDS would bring; `forgets`: each token is as one that was not seen before."""
    config = request_authentication.config(rules, reroutes=False)
    for provider in config.providers.values() if forgets else ():
        provider.ClearField("jwt_cache_config")
    told = tuple(sorted({name for rule in rules for name in rule.told_headers}))
    return (
        {"name": "claim-headers", "typed_config": _any(request_authentication.claim_headers(told))},
        {"name": "jwt", "typed_config": _any(config)},
    )


def _any(message: Any) -> Json:
    made: Json = json_format.MessageToDict(message, preserving_proto_field_name=True)
    if isinstance(message, config_pb2.JwtAuthentication):
        return {"@type": f"{TYPE}.filters.http.jwt_authn.v3.JwtAuthentication", **made}
    return {"@type": f"{TYPE}.filters.http.header_mutation.v3.HeaderMutation", **made}


def variants() -> Iterator[Variant]:
    yield Variant(name="no filter", filters=())
    yield Variant(name="no policy: empty places", filters=places(()))
    for alg in ("RS256", "ES256", "EdDSA"):
        key = Key(alg, "k")
        rule = TokenRule(issuer=ISSUER, keys=key_set(key), headers=(AUTHORIZATION,))
        token = key.token({"iss": ISSUER, "sub": "alice", "aud": ["shop"], "groups": ["a", "b"]})
        if alg == "RS256":
            yield Variant(name="a policy, no token", filters=places((rule,)))
        yield Variant(name=f"{alg}, a new token", filters=places((rule,), forgets=True), token=token)
        yield Variant(name=f"{alg}, seen before", filters=places((rule,)), token=token)
        if alg == "ES256":
            bad = token[:-8] + "AAAAAAAA"
            yield Variant(name=f"{alg}, refused", filters=places((rule,)), token=bad, status=401)


@contextmanager
def running(folder: Path, index: int, variant: Variant) -> Iterator[tuple[int, int]]:
    """(process id, port)."""
    port = free_port()
    listener = http_listener(port, ANSWER, filters=variant.filters)
    with envoy(folder, f"envoy{index}", static([listener], [])) as pid:
        yield pid, port


async def asked(port: int, variant: Variant, requests: int) -> None:
    """Every answer is looked at."""
    token = f"authorization: Bearer {variant.token}\r\n" if variant.token else ""
    request = f"GET / HTTP/1.1\r\nhost: a\r\n{token}\r\n".encode()
    wanted = f"HTTP/1.1 {variant.status} ".encode()

    async def ask() -> None:
        reader, writer = await _connected(port)
        for _ in range(requests // CONNECTIONS):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(wanted), head
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        writer.close()

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    end = time.monotonic() + 30
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.02)


def run() -> list[Row]:
    asked_of = list(variants())
    found: dict[str, list[float]] = {one.name: [] for one in asked_of}
    with tempfile.TemporaryDirectory(prefix="tokens-") as name, ExitStack() as stack:
        places_of = [
            (one, *stack.enter_context(running(Path(name), index, one))) for index, one in enumerate(asked_of)
        ]
        for one, _, port in places_of:
            asyncio.run(asked(port, one, 200))
        for _ in range(ROUNDS):
            for one, pid, port in places_of:
                before = cpu(pid)
                asyncio.run(asked(port, one, REQUESTS))
                found[one.name].append((cpu(pid) - before) / REQUESTS * 1e6)
    none = statistics.median(found["no filter"])
    rows = []
    for one in asked_of:
        value = statistics.median(found[one.name])
        more = "" if one.name == "no filter" else f" ({value - none:+.1f})"
        rows.append((f"CPU a request, {one.name}", f"{value:.1f} µs{more}", "-"))
    return rows
