"""Frames survive the way through responses untouched, and agree with protobuf's own encoding; garbage is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from argosy.xds import wire
from argosy.xds.blame import mentions
from argosy.xds.types import CLUSTER, ENDPOINT
from tests.unit.xds.fake_envoy import make

names = st.text(min_size=1, max_size=200)


@given(st.lists(names, max_size=5, unique=True), st.lists(names, max_size=5), names, st.integers(0, 40_000))
def test_a_joined_response_is_what_protobuf_reads_and_is_cut_into_the_same_frames(
    present: list[str], removed: list[str], nonce: str, size: int
) -> None:
    resources = tuple(make(CLUSTER, name, body="x" * size) for name in present)
    response = wire.Response(
        type_url=CLUSTER, nonce=nonce, version="7", resources=resources, removed=tuple(removed)
    )
    data = wire.encode_response(response)
    parsed = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
    assert (parsed.type_url, parsed.nonce, parsed.system_version_info) == (CLUSTER, nonce, "7")
    assert [one.name for one in parsed.resources] == present
    assert list(parsed.removed_resources) == removed
    received = wire.decode_response(data)
    assert [one.frame for one in received.resources] == [one.frame for one in resources]
    assert [one.version for one in received.resources] == [one.version for one in resources]
    assert received.removed == tuple(removed)
    assert wire.decode_response(parsed.SerializeToString()) == received


def test_what_many_streams_get_is_never_mistaken_for_something_else() -> None:
    """Responses that are alike in all but one thing, in any order, and with a nonce of their own each."""
    one, other = make(CLUSTER, "a", n=1), make(CLUSTER, "a", n=2)
    alike = [
        wire.Response(type_url=type_url, nonce="", version=version, resources=resources, removed=removed)
        for type_url in (CLUSTER, ENDPOINT)
        for version in ("1", "2")
        for resources in ((one,), (other,), (one, other), (other, one), ())
        for removed in ((), ("a",), ("b",))
    ]
    for nonce, response in enumerate([*alike, *alike, *reversed(alike), *(alike[:1] * 3)]):
        sent = structs.replace(response, nonce=str(nonce))
        for _ in range(2):
            received = wire.decode_response(wire.encode_response(sent))
            assert (received.type_url, received.version) == (sent.type_url, sent.version)
            assert received.nonce == str(nonce)
            assert [kept.frame for kept in received.resources] == [kept.frame for kept in sent.resources]
            assert received.removed == sent.removed


def test_a_large_response_is_not_kept_for_the_next_stream() -> None:
    large = wire.Response(
        type_url="large", nonce="1", version="1", resources=(make(CLUSTER, "a", body="x" * (1 << 20)),)
    )
    assert len(wire.encode_response(large)) > 1 << 20
    assert "large" not in wire._last


@given(st.binary(max_size=300))
def test_garbage_is_malformed_or_understood_never_a_crash(data: bytes) -> None:
    for decode in (wire.decode_response, wire.decode_request):
        with suppress(wire.Malformed):
            decode(data)


def test_every_cut_of_a_response_is_refused_or_shorter() -> None:
    data = wire.encode_response(
        wire.Response(type_url=CLUSTER, nonce="1", version="1", resources=(make(CLUSTER, "a", n=1),))
    )
    whole = wire.decode_response(data)
    for end in range(len(data)):
        try:
            assert wire.decode_response(data[:end]) != whole
        except wire.Malformed:
            continue


def test_a_nack_carries_its_message_even_an_empty_one() -> None:
    assert wire.request(CLUSTER, nonce="1", error="").HasField("error_detail")
    assert not wire.request(CLUSTER, nonce="1").HasField("error_detail")


@pytest.mark.parametrize(
    ("message", "name", "is_mentioned"),
    [
        ("Error adding/updating listener(s) web: duplicate address", "web", True),
        ("Error adding/updating listener(s) web-2: duplicate address", "web", False),
        ("Error adding/updating cluster(s) a: bad, outbound|80||b.shop: worse", "outbound|80||b.shop", True),
        ("cluster(s) outbound|80||b.shop.svc: bad", "outbound|80||b.shop", False),
        ("cluster(s) outbound|80||b.shop.", "outbound|80||b.shop", True),
        ("cluster(s) outbound|8080||b.shop: bad", "80", False),
        ('name: "r"\nvirtual_hosts {', "r", True),
        ("route 80: bad", "80", True),
        ("Proto constraint validation failed", "", False),
        ("'[::]:80' has a duplicate", "[::]:80", True),
        ("127.0.0.1:8080 is taken", "8080", False),
    ],
)
def test_a_name_is_mentioned_only_as_a_whole(message: str, name: str, is_mentioned: bool) -> None:
    assert mentions(message, name) is is_mentioned
