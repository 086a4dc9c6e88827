"""Requests that are made to exhaust the server: each is refused, soon, and in a few words."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from argosy.apiserver import documents, selectors
from argosy.apiserver.documents import MAX_BYTES
from argosy.apiserver.serving import Serving
from argosy.apiserver.status import Refusal
from argosy.resources.loading import MAX_ALIASED
from argosy.resources.validation import validate
from tests.unit.apiserver.conftest import REVIEWS, ROUTES, TOKEN, virtual_service

LONGEST_ANSWER = 256 << 10


def spent(work: Callable[[], Any]) -> str:
    """The words of the refusal that `work` must end in; few, and before the test's time is up."""
    with pytest.raises(Refusal) as caught:
        work()
    assert 400 <= caught.value.code < 500
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def bomb(levels: int) -> bytes:
    """`levels` of lists of ten of the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, levels)]
    return "\n".join(lines).encode()


def mapped(levels: int) -> bytes:
    """The same with merge keys."""
    lines = ["a0: &a0 {" + ", ".join(f"k{at}: x" for at in range(200)) + "}"]
    lines += [f"a{at}: &a{at} {{<<: [{', '.join([f'*a{at - 1}'] * 50)}]}}" for at in range(1, levels)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (bomb(5), "aliases stand for more than"),
        (bomb(9), "aliases stand for more than"),
        (mapped(4), "aliases stand for more than"),
        (
            b"a: &a " + b"x" * 60_000 + b"\nb: [" + b", ".join([b"*a"] * 50) + b"]",
            "aliases stand for more than",
        ),
        (b"a: &a [*a]", "has no anchor"),
        (b"a: " + b"[" * 500, "nested more than"),
        (b"a: " + b"{a: " * 500, "nested more than"),
        (b"a: " + b"[" * 200_000, "nested more than"),
        (b"- " * 100_000, "nested more than"),
        (b"? " * 100_000, "nested more than"),
        (b"%TAG ! tag:x,2000:\n---\na: !y b", "not read"),
        (b"a: !!python/object/apply:os.system [id]", "is not read"),
        (b"--- {}\n" * 20_000, "holds 20000 objects"),
    ],
)
def test_yaml_that_grows_is_refused(body: bytes, words: str) -> None:
    assert words in spent(lambda: documents.parse_yaml(body))


def test_an_alias_stands_for_as_much_as_is_written_by_hand() -> None:
    labels = "labels: &labels {app: a, version: v1}\n"
    text = labels + "list:\n" + "- *labels\n" * (MAX_ALIASED // 5)
    found = documents.parse_yaml(text.encode())
    assert found["list"][-1] == {"app": "a", "version": "v1"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 1_000_000, "nested more than"),
        (b'{"a":' * 500_000, "nested more than"),
        (b"[" * 100 + b"]" * 100, "nested more than"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"a":' + b"9" * 100 + b"}", "does not fit in 64 bits"),
        (b'{"a":NaN}', "NaN is not a number"),
        (b'{"a":"\\ud800"}', "not valid Unicode"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (
            ("{" + ",".join(f'"k{at}":1' for at in range(200_000)) + ',"k199999":2}').encode(),
            "duplicate field",
        ),
        (b'{"' + b"k" * 1_000_000 + b'":1,"' + b"k" * 1_000_000 + b'":1}', "duplicate field"),
    ],
)
def test_json_that_is_too_much_is_refused(body: bytes, words: str) -> None:
    assert words in spent(lambda: documents.parse_json(body))


@pytest.mark.parametrize(
    ("labels", "fields", "words"),
    [
        ("", "a" + " " * 16_000 + "b", "is not a requirement"),
        ("", "=" * 16_000, "is not a requirement"),
        ("", "," * 16_000 + "x", "is not a requirement"),
        ("", "k" * 16_000 + "=x", "not supported"),
        ("a" + " " * 16_000 + "b", "", "is not a requirement"),
        ("(" * 16_000, "", "is not a requirement"),
        ("a in (" + "(b," * 5_000, "", "has 5000 requirements"),
        ("a in (" + "b" * 16_000 + ")", "", "is not a requirement"),
        (",".join(["a"] * 8_000), "", "has 8000 requirements"),
        ("", ",".join(["metadata.name=a"] * 1_000), "has 1000 requirements"),
    ],
)
def test_selectors_that_are_too_much_are_refused(labels: str, fields: str, words: str) -> None:
    assert words in spent(lambda: selectors.parse(labels, fields))


def spaced(count: int) -> Callable[[], Any]:
    return lambda: selectors.parse("", "a" + " " * count + "b")


def twice(count: int) -> Callable[[], Any]:
    body = ("{" + ",".join(f'"k{at}":1' for at in range(count)) + f',"k{count - 1}":2}}').encode()
    return lambda: documents.parse_json(body)


def hosts(form: str) -> Callable[[int], Callable[[], Any]]:
    def of(count: int) -> Callable[[], Any]:
        obj = virtual_service() | {"spec": {"hosts": [form.format(at=at) for at in range(count)]}}
        return lambda: validate(obj)

    return of


@pytest.mark.parametrize(
    ("made", "count"),
    [(spaced, 2000), (twice, 5000), (hosts("a"), 1000), (hosts("a{at}.b"), 1000), (hosts("*.a{at}.b"), 1000)],
)
def test_four_times_as_much_costs_no_more_than_eight_times(
    made: Callable[[int], Callable[[], Any]], count: int
) -> None:
    def cost(work: Callable[[], Any]) -> float:
        taken = []
        for _ in range(5):
            began = time.process_time()
            with contextlib.suppress(Refusal):
                work()
            taken.append(time.process_time() - began)
        return max(min(taken), 1e-3)

    assert cost(made(4 * count)) < 8 * cost(made(count))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (virtual_service("huge") | {"spec": {"hosts": ["!"] * 30_000}}, 422),
        (virtual_service("huge") | {"spec": {"hosts": ["reviews"], "http": [{"x": 1}] * 40_000}}, 422),
        (virtual_service("huge") | {"spec": {f"field{at}": 1 for at in range(30_000)}}, 422),
        (virtual_service("huge", labels={f"a{at}": "!" for at in range(15_000)}), 422),
        (virtual_service("huge", annotations={"a": "x" * 300_000}), 422),
        (virtual_service("n" * 100_000), 422),
        (virtual_service(namespace="n" * 100_000), 400),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
async def test_objects_that_are_wrong_everywhere_are_refused_in_few_words(
    api: httpx.AsyncClient, body: dict[str, Any], code: int
) -> None:
    answer = await api.post(ROUTES, json=body)
    assert answer.status_code == code
    assert len(answer.content) < LONGEST_ANSWER
    ignoring = await api.post(ROUTES, json=body, params={"fieldValidation": "Warn", "dryRun": "All"})
    assert ignoring.status_code < 500
    assert sum(len(value) for value in ignoring.headers.values()) < 64 << 10


@pytest.mark.parametrize(
    ("kind", "patch", "code"),
    [
        ("json", [{"op": "add", "path": "/metadata/labels", "value": {}}] * 20_000, 413),
        ("json", [{"op": "copy", "from": "/spec", "path": f"/spec/a{at}"} for at in range(60)], 413),
        ("json", [{"op": "copy", "from": "/spec/http", "path": "/spec/http/0"}] * 60, 413),
        ("json", [{"op": "test", "path": "/a" * 5_000, "value": 1}], 400),
        ("json", [{"op": "add", "path": "/spec/hosts/-", "value": "a"}] * 9_000, None),
        ("merge", {"spec": {f"a{at}": None for at in range(30_000)}}, 200),
        ("merge", {"spec": {f"a{at}": 1 for at in range(30_000)}}, 422),
    ],
)
async def test_patches_that_are_too_much_are_refused(
    api: httpx.AsyncClient, kind: str, patch: Any, code: int | None
) -> None:
    await api.post(ROUTES, json=virtual_service())
    answer = await api.patch(
        REVIEWS, content=json.dumps(patch), headers={"content-type": f"application/{kind}-patch+json"}
    )
    assert answer.status_code == code if code else 400 <= answer.status_code < 500, answer.text[:500]
    assert len(answer.content) < LONGEST_ANSWER


async def test_bodies_over_the_limit_are_refused_with_and_without_a_length(api: httpx.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(MAX_BYTES // 65536 + 1):
            yield b" " * 65536

    for content in (b" " * (MAX_BYTES + 1), chunks()):
        answer = await api.post(ROUTES, content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


async def test_a_length_that_is_too_large_is_refused_before_the_body_comes(api: httpx.AsyncClient) -> None:
    read: list[bytes] = []

    async def chunks() -> Any:
        read.append(b"")
        yield b"x"

    for length in (str(MAX_BYTES + 1), "9" * 5000):
        answer = await api.post(ROUTES, content=chunks(), headers={"content-length": length})
        assert answer.status_code == 413
    assert read == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "gzip, identity", "x" * 5000])
async def test_packed_bodies_are_refused(api: httpx.AsyncClient, encoding: str) -> None:
    packed = gzip.compress(json.dumps(virtual_service()).encode())
    answer = await api.post(
        ROUTES, content=packed, headers={"content-encoding": encoding, "content-type": "application/json"}
    )
    assert (answer.status_code, "Content-Encoding" in answer.json()["message"]) == (415, True)


async def test_a_body_as_it_is_says_so(api: httpx.AsyncClient) -> None:
    answer = await api.post(ROUTES, json=virtual_service(), headers={"content-encoding": "identity"})
    assert answer.status_code == 201


TOKENS = [
    b'[1,"",""]', b'[9223372036854775807,"",""]', b'[1,"bank","x"]', b'[1,"\\u0000","\\t"]', b'[1,"a"]', b"[]", b"null",
    b'[1,"","",2]', b'[-1,"",""]', b'[1.5,"",""]', b'[1,"","",1,1]', b'["1","",""]', b"[" * 1000, b"\xff\xfe", b"",
    b'[1,"' + b"n" * 1500 + b'",""]',
]  # fmt: skip
"""Of continue tokens, what is within."""


@pytest.mark.parametrize("within", TOKENS)
async def test_forged_continue_tokens_are_refused_or_lead_nowhere_else(
    api: httpx.AsyncClient, within: bytes
) -> None:
    for name, namespace in (("reviews", "shop"), ("other", "default")):
        path = ROUTES.replace("shop", namespace)
        assert (await api.post(path, json=virtual_service(name, namespace))).status_code == 201
    token = base64.urlsafe_b64encode(within).decode()
    for given in (token, token.rstrip("="), token + "=", token + "é", token * 3):
        for limit in ("", "1"):
            answer = await api.get(ROUTES, params={"continue": given, "limit": limit})
            assert answer.status_code in (200, 400, 410), answer.text
            if answer.status_code == 200:
                assert {item["metadata"]["namespace"] for item in answer.json()["items"]} <= {"shop"}


@pytest.mark.parametrize(
    "url", [f"{ROUTES}?{'a' * 20_000}", f"{ROUTES}/{'a' * 20_000}", f"{ROUTES}?{'a=b&' * 5000}"]
)
async def test_a_url_that_is_too_long_is_refused(api: httpx.AsyncClient, url: str) -> None:
    answer = await api.get(url)
    assert (answer.status_code, answer.json()["reason"]) == (414, "RequestURITooLong")


async def test_over_a_connection_too_what_is_too_large_is_told_before_it_has_come(served: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    lines = ("Host: a", f"Authorization: Bearer {TOKEN}", f"Content-Length: {MAX_BYTES + 1}", "", "{")
    writer.write("\r\n".join((f"POST {ROUTES} HTTP/1.1", *lines)).encode())
    async with asyncio.timeout(20):
        answer = await reader.read()  # it ends the connection: nobody reads what else would come
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"RequestEntityTooLarge" in answer
    writer.close()
