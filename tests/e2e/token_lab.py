"""A sidecar in real Envoy whose policies change, in front of an application that tells what it saw; and the tokens of
an issuer that it may believe."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import Proxy
from tests.e2e.translate_envoy import Running, answering, running
from tests.ports import free_port
from tests.tokens import key, key_set
from tests.unit.translate.mesh import put, service, workload

IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"
ISSUER = "https://issuer.example"
RSA, EC, ED = key("RS256", "rsa"), key("ES256", "ec"), key("EdDSA", "ed")
KEYS = key_set(RSA, EC, ED)
STRANGER = key("ES384", "stranger")


@dataclass
class Sidecar:
    envoy: Running
    port: int

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20)

    def rules(self, *rules: dict[str, Any]) -> None:
        """These hold, and no others."""
        self.put("RequestAuthentication", {"jwtRules": list(rules)})

    def put(self, kind: str, spec: dict[str, Any]) -> None:
        """In place of another one that was put so."""
        metadata = {"name": "a", "namespace": "default"}
        body = {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
        if facts := put(self.envoy.snapshot, json.dumps(body)):
            self.envoy.apply(facts)

    def remove(self, kind: str) -> None:
        if facts := self.envoy.snapshot.remove_config(kind, "default", "a"):
            self.envoy.apply(facts)

    def asked(self, token: str = "", path: str = "/", **headers: str) -> httpx.Response:
        if token:
            headers["authorization"] = f"Bearer {token}"
        return self.client.get(path, headers=headers)

    def answer(self, token: str = "", **more: Any) -> tuple[int, str]:
        """Status, and the reason of a refusal."""
        found = self.asked(token, **more)
        return found.status_code, "" if found.status_code == 200 else found.text

    def seen(self, token: str = "", **more: Any) -> dict[str, str]:
        """The headers that the application got."""
        found = self.asked(token, **more)
        assert found.status_code == 200, found.text
        headers: dict[str, str] = found.json()["headers"]
        return headers


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Sidecar]:
    bind = free_port()
    snapshot = Snapshot(ir.Mesh())
    snapshot.put_service(service("reviews", (9080, Protocol.HTTP)))
    with answering("app") as application:
        snapshot.put_workload(workload("reviews", "v1", (9080, bind, application, Protocol.HTTP)))
        scope = scope_of(
            Reader(snapshot), type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default",
            labels=(("app", "reviews"),),
        )  # fmt: skip
        proxy = Proxy(namespace="default", name="reviews-v1", scope=scope)
        with running(folder, snapshot, proxy, IDENTITY) as envoy:
            yield Sidecar(envoy, bind)


def rule(**more: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "jwks": KEYS, **more}


def claims(**more: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "sub": "alice", **more}
