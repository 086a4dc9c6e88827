"""Whatever headers, credentials and protobuf a client sends, through all that decides who may: an answer below 500."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.apiserver.documents import PROTOBUF
from tests.unit.apiserver.conftest import virtual_service
from tests.unit.apiserver.guarded import ROOT, SECRETS, SHOP, Guarded, guarded, rule, secret
from tests.unit.apiserver.test_any_request import ANY, METHODS, check

DEVELOPER = "the-token-of-dev-alone"
VALUES = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
    st.sampled_from(
        ["", "admin", "system:masters", "system:serviceaccount:shop:web", "system:serviceaccount:", "*/*", "gzip", "0",
         "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;q=nan", "application/json;q=", ";;;,,,",
         "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf",
         "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", '"x"', 'W/"x", *', "bytes=0-1",
         f"Bearer {ROOT}", f"Bearer {DEVELOPER}", "Bearer", "Basic YTpi", "Bearer " + "x" * 5000, "chunked"]
    ),
)  # fmt: skip
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["accept", "content-type", "authorization", "impersonate-user", "impersonate-group", "impersonate-uid",
             "impersonate-extra-a", "content-encoding", "if-none-match", "range", "host", "x-forwarded-for",
             "user-agent", "x-http-method-override", "cookie", "origin", "accept-encoding", "content-length"]
        ),
        VALUES,
    ),
    max_size=5,
)  # fmt: skip
PATHS = st.sampled_from(
    ["/", "/api", "/apis", "/version", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/api/v1",
     "/apis/x", SECRETS, f"{SECRETS}/there", SHOP, f"{SHOP}/reviews", f"{SHOP}/reviews/status",
     "/api/v1/secrets", "/api/v1/namespaces", "/api/v1/namespaces/shop",
     "/apis/access.argosy.dev/v1/users", "/apis/access.argosy.dev/v1/clientcertificates",
     "/apis/rbac.authorization.k8s.io/v1/clusterroles",
     "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
     "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
     "/apis/authorization.k8s.io/v1/subjectaccessreviews",
     "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
     "/apis/authentication.k8s.io/v1/selfsubjectreviews"]
)  # fmt: skip
REVIEWS = st.fixed_dictionaries(
    {},
    optional={
        "resourceAttributes": st.dictionaries(
            st.sampled_from(
                ["verb", "group", "resource", "name", "namespace", "subresource", "fieldSelector"]
            ),
            st.text(max_size=5) | st.none() | st.integers() | st.just({}),
        ),
        "nonResourceAttributes": st.dictionaries(st.sampled_from(["verb", "path"]), st.text(max_size=5)),
        "namespace": st.text(max_size=5),
        "user": st.text(max_size=5),
        "groups": st.lists(st.text(max_size=5), max_size=3),
        "request": st.text(max_size=20),
        "rules": st.none() | st.integers(),
    },
)


@st.composite
def protobuf(draw: st.DrawFn) -> bytes:
    """Fields of any number and type, nested, after the magic of Kubernetes' envelope or not."""

    def varint(value: int) -> bytes:
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    def message(depth: int) -> bytes:
        out = b""
        for _ in range(draw(st.integers(0, 4))):
            number, wire = draw(st.integers(1, 12)), draw(st.sampled_from([2, 2, 2, 0, 1, 5, 3, 7]))
            out += varint(number << 3 | wire)
            if wire == 2:
                inner = message(depth - 1) if depth and draw(st.booleans()) else draw(st.binary(max_size=12))
                out += varint(draw(st.sampled_from([len(inner), len(inner), len(inner), 1 << 62]))) + inner
            elif wire == 0:
                out += varint(draw(st.integers(0, 1 << 64)))
            else:
                out += b"\0" * (8 if wire == 1 else 4)
        return out

    return draw(st.sampled_from([b"k8s\0", b"k8s\0", b"k8s", b""])) + message(4)


class Living:
    """One API for all examples, in a loop of its own: nothing of it is to break, whatever came before."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._folder = tempfile.TemporaryDirectory()
        self.api = self._loop.run_until_complete(self._open())

    async def _open(self) -> Guarded:
        api = await self._stack.enter_async_context(guarded(Path(self._folder.name)))
        await api.made(SECRETS, secret("there"))
        await api.made(SHOP, virtual_service())
        assert await api.user("dev", rule("*", "*", "*"), namespace="shop") == DEVELOPER
        return api

    def ask(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> int:
        return self._loop.run_until_complete(self._ask(method, path, headers, body))

    async def _ask(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> int:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        async with self.api.web() as web:
            if any(name == "authorization" for name, _ in headers):
                del web.headers["authorization"]
            answer = await web.request(method, path, headers=[*web.headers.raw, *raw], content=body)
        if answer.status_code != 304 and not path.startswith("/openapi/v2"):
            check(answer)
        assert answer.status_code < 500, answer.text
        return answer.status_code

    def close(self) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()
        self._folder.cleanup()


@pytest.fixture(scope="module")
def living() -> Iterator[Living]:
    found = Living()
    yield found
    found.close()


@ANY
@given(METHODS, PATHS, HEADERS, st.binary(max_size=30))
def test_any_headers_get_an_answer(
    living: Living, method: str, path: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    living.ask(method, path, headers, body)


@ANY
@given(st.sampled_from(["POST", "PUT", "DELETE"]), PATHS, protobuf())
def test_any_protobuf_gets_an_answer(living: Living, method: str, path: str, body: bytes) -> None:
    if method == "DELETE" and path.endswith(("roles", "bindings", "users", "namespaces", "shop")):
        path = SECRETS  # what the other examples stand on
    living.ask(method, path, [("content-type", PROTOBUF)], body)


@ANY
@given(PATHS, REVIEWS, st.sampled_from(["application/json", "application/yaml"]))
def test_any_question_about_access_gets_an_answer(living: Living, path: str, spec: object, kind: str) -> None:
    group, _, plural = path.removeprefix("/apis/").partition("/v1/")
    names = {"users": "User", "clientcertificates": "ClientCertificate", "clusterroles": "ClusterRole",
             "clusterrolebindings": "ClusterRoleBinding", "selfsubjectaccessreviews": "SelfSubjectAccessReview",
             "subjectaccessreviews": "SubjectAccessReview", "selfsubjectrulesreviews": "SelfSubjectRulesReview",
             "selfsubjectreviews": "SelfSubjectReview"}  # fmt: skip
    body = {"apiVersion": f"{group}/v1", "kind": names.get(plural, "Secret"), "metadata": {"name": "x"}}
    sent = json.dumps(body | {"spec": spec}).encode()
    living.ask("POST", path, [("content-type", kind)], sent)
