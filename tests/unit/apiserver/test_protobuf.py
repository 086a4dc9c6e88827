"""Bodies in Kubernetes' protobuf: written here field by field, as the definitions have them, and read by the server."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.apiserver import protobuf
from argosy.apiserver.status import Refusal
from tests.unit.apiserver.conftest import ROUTES, virtual_service
from tests.unit.apiserver.test_objects import create, refused

Json = dict[str, Any]
PROTOBUF = {"Content-Type": "application/vnd.kubernetes.protobuf"}
SHOP = "/api/v1/namespaces/shop"


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def data(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def entry(field: int, key: str, value: bytes | str) -> bytes:
    return data(field, data(1, key) + data(2, value))


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return (
        b"k8s\x00" + data(1, data(1, api_version) + data(2, kind)) + data(2, raw) + data(3, "") + data(4, "")
    )


def metadata(name: str) -> bytes:
    """As Go writes it: empty texts and an empty time are there."""
    empty = data(2, "") + data(3, "") + data(4, "") + data(5, "") + data(6, "") + number(7, 0) + data(8, b"")
    return data(1, data(1, name) + empty + entry(11, "a", "b") + data(14, "a.dev/x"))


def port(name: str, port: int, target: bytes) -> bytes:
    return data(1, name) + data(2, "TCP") + number(3, port) + data(4, target) + number(5, 0)


WHEN = number(1, 1767323045)  # 2026-01-02T03:04:05Z
BODIES: list[tuple[str, str, str, str, bytes, Json]] = [
    ("namespace", "/api/v1/namespaces", "v1", "Namespace",
     metadata("x") + data(2, b"") + data(3, data(1, "")), {}),
    ("secret", f"{SHOP}/secrets", "v1", "Secret",
     metadata("x") + entry(2, "key", b"\xff\x00") + data(3, "Opaque") + entry(4, "plain", "text") + number(5, 1),
     {"data": {"key": "/wA=", "plain": "dGV4dA=="}, "type": "Opaque", "immutable": True}),
    ("config map", f"{SHOP}/configmaps", "v1", "ConfigMap",
     metadata("x") + entry(2, "a", "1") + entry(2, "b", "") + entry(3, "bin", b"\x00") + number(4, 0),
     {"data": {"a": "1", "b": ""}, "binaryData": {"bin": "AA=="}, "immutable": False}),
    ("service account", f"{SHOP}/serviceaccounts", "v1", "ServiceAccount",
     metadata("x") + data(3, data(1, "pull")) + number(4, 0),
     {"imagePullSecrets": [{"name": "pull"}], "automountServiceAccountToken": False}),
    ("service", f"{SHOP}/services", "v1", "Service",
     metadata("x") + data(2, data(1, port("http", 80, number(1, 0) + number(2, 8080)))
     + data(1, port("named", 81, number(1, 1) + data(3, "web")))
     + entry(2, "app", "x") + data(3, "") + data(4, "ClusterIP") + number(13, 0)) + data(3, data(1, b"")),
     {"spec": {"ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
                         {"name": "named", "protocol": "TCP", "port": 81, "targetPort": "web"}],
               "selector": {"app": "x"}, "type": "ClusterIP"}}),
    ("event", f"{SHOP}/events", "v1", "Event",
     metadata("x") + data(2, data(1, "Service") + data(2, "shop") + data(3, "web") + data(5, "v1")) + data(3, "Started")
     + data(4, "it runs") + data(5, data(1, "kubectl")) + data(6, WHEN)
     + data(7, WHEN) + number(8, 2) + data(9, "Normal") + data(10, WHEN + number(2, 5000)) + data(14, "me"),
     {"involvedObject": {"kind": "Service", "namespace": "shop", "name": "web", "apiVersion": "v1"},
      "reason": "Started", "message": "it runs", "source": {"component": "kubectl"},
      "firstTimestamp": "2026-01-02T03:04:05Z",
      "lastTimestamp": "2026-01-02T03:04:05Z", "count": 2, "type": "Normal",
      "eventTime": "2026-01-02T03:04:05.000005Z",
      "reportingComponent": "me"}),
    ("role", "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles", "rbac.authorization.k8s.io/v1", "Role",
     metadata("x") + data(2, data(1, "get") + data(1, "list") + data(2, "") + data(3, "secrets") + data(4, "key")),
     {"rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["key"]}]}),
    ("cluster role", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "rbac.authorization.k8s.io/v1", "ClusterRole",
     metadata("x") + data(2, data(1, "get") + data(5, "/healthz")),
     {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}),
    ("role binding", "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings", "rbac.authorization.k8s.io/v1",
     "RoleBinding",
     metadata("x") + data(2, data(1, "User") + data(2, "rbac.authorization.k8s.io") + data(3, "ann") + data(4, ""))
     + data(3, data(1, "rbac.authorization.k8s.io") + data(2, "Role") + data(3, "r")),
     {"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}],
      "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "version", "kind", "raw", "expected"),
    [row[1:] for row in BODIES],
    ids=[row[0] for row in BODIES],
)
async def test_a_body_is_what_it_means(
    api: httpx.AsyncClient, path: str, version: str, kind: str, raw: bytes, expected: Json
) -> None:
    response = await api.post(path, content=envelope(version, kind, raw), headers=PROTOBUF)
    assert response.status_code == 201, response.text
    made = response.json()
    assert {key: made[key] for key in expected} == expected
    assert made["metadata"]["labels"].items() >= {"a": "b"}.items()
    assert (made["metadata"]["name"], made["metadata"]["finalizers"]) == ("x", ["a.dev/x"])
    assert made["kind"] == kind


async def test_a_deletion_says_its_options(api: httpx.AsyncClient) -> None:
    await create(api, virtual_service())
    raw = number(1, 0) + data(2, data(1, "other")) + data(4, "Background")
    body = envelope("v1", "DeleteOptions", raw)
    refused(await api.request("DELETE", f"{ROUTES}/reviews", content=body, headers=PROTOBUF), 409, "Conflict")
    body = envelope("v1", "DeleteOptions", data(4, "Background") + data(5, "All"))
    assert (
        await api.request("DELETE", f"{ROUTES}/reviews", content=body, headers=PROTOBUF)
    ).status_code == 200
    assert (await api.get(f"{ROUTES}/reviews")).status_code == 200, "it was a dry run"


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("application/vnd.kubernetes.protobuf, application/json", 200),
        ("application/vnd.kubernetes.protobuf,*/*;q=0.8", 200),
        ("application/vnd.kubernetes.protobuf", 406),
    ],
)
async def test_answers_are_json_for_those_who_take_it(api: httpx.AsyncClient, accept: str, code: int) -> None:
    await create(api, virtual_service())
    response = await api.get(f"{ROUTES}/reviews", headers={"Accept": accept})
    assert response.status_code == code
    assert response.headers["content-type"] == "application/json"


async def test_kinds_without_a_form_in_protobuf_say_what_they_take(api: httpx.AsyncClient) -> None:
    status = refused(
        await api.post(ROUTES, content=b"k8s\x00", headers=PROTOBUF), 415, "UnsupportedMediaType"
    )
    assert "protobuf" not in status["message"].partition("accepted:")[2]
    wrong = refused(await api.post(f"{SHOP}/secrets", content=b"x", headers={"Content-Type": "text/plain"}), 415,
                    "UnsupportedMediaType")  # fmt: skip
    assert "application/vnd.kubernetes.protobuf" in wrong["message"]


BROKEN = [
    b"",
    b"k8s",
    b"k8s\x01",
    b"k8s\x00\xff",
    b"k8s\x00" + data(2, b"\x0a\x05ab"),
    b"k8s\x00" + data(2, data(1, data(1, b"\xff\xfe"))),
    b"k8s\x00" + data(2, number(1, 5)),
    b"k8s\x00" + b"\x0b",
    b"k8s\x00" + b"\x02\x00",
    b"k8s\x00" + varint(2 << 3 | 2) + b"\xff" * 11,
]


@pytest.mark.parametrize("body", BROKEN)
async def test_what_is_no_protobuf_is_refused(api: httpx.AsyncClient, body: bytes) -> None:
    refused(await api.post(f"{SHOP}/secrets", content=body, headers=PROTOBUF), 400, "BadRequest")


EVENT = protobuf.MESSAGES["/events"]


@given(st.binary(max_size=60), st.integers(0, 20))
def test_any_bytes_are_read_or_refused(body: bytes, field: int) -> None:
    for raw in (body, data(field, body), data(1, data(field, body)), number(field, len(body)) + body):
        code = 200
        try:
            found = protobuf.decode(envelope("v1", "Event", raw), EVENT)
            assert found["kind"] == "Event"
        except Refusal as refusal:
            code = refusal.code
        assert code in (200, 400)


def test_a_time_far_away_is_refused_and_not_a_failure() -> None:
    for seconds in (1 << 62, -(1 << 62), (1 << 64) - 1 << 1):
        body = envelope("v1", "Event", data(6, number(1, seconds)))
        code = 200
        try:
            protobuf.decode(body, EVENT)
        except Refusal as refusal:
            code = refusal.code
        assert code in (200, 400)
