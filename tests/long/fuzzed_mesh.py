"""A mesh of random objects, and proxies of every sort that look at it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from argosy.model import ir
from argosy.model.facts import Fact
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.model.updates import Ref
from argosy.registry.objects import ObjectRegistry
from argosy.resources.kinds import decode, kind_of
from argosy.resources.meta import Object
from argosy.translate import names
from argosy.translate.compiler import Compiler
from argosy.translate.dump import dump
from argosy.translate.proxy import DeclaredUpstream, Proxy
from argosy.translate.resource import SECRET, Resource
from tests.e2e.translate_envoy import validate
from tests.long import any_object
from tests.unit.translate.fields import GATEWAY, METADATA, PLACE, REGISTRY, written

Json = dict[str, Any]
Slot = tuple[str, str, str]
"""(proxy, type URL, name)"""
Bytes = dict[Slot, str]
"""The version of every resource: the hash of its bytes."""

SECRETS_USED: list[Json] = [
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "secure", "namespace": namespace},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [
                {
                    "port": {"number": 8443 + number, "name": f"https{number}", "protocol": "HTTPS"},
                    "hosts": ["*"],
                    "tls": tls,
                }
                for number, tls in enumerate(
                    (
                        {"mode": "SIMPLE", "credentialName": "cred"},
                        {"mode": "SIMPLE", "credentialNames": ["a", "b"]},
                        {"mode": "MUTUAL", "credentialName": "cred", "caCertCredentialName": "ca"},
                        {"mode": "OPTIONAL_MUTUAL", "credentialName": "o1"},
                    )
                )
            ],
        },
    }
    for namespace in ("default", "istio-system")
]
BASE = written("fields_mesh.yaml") + SECRETS_USED
"""What most random objects mean something to."""
NOT_YET = "is not served yet"
INGRESS = {"istio": "ingressgateway", "app": "reviews"} | GATEWAY
PROXIES: dict[str, tuple[ProxyType, Interception, str, str, dict[str, str]]] = {
    # name: type, interception, namespace, workload, labels
    "explicit": (ProxyType.SIDECAR, Interception.EXPLICIT, "default", "reviews-v1", {"app": "reviews"}),
    "captured": (ProxyType.SIDECAR, Interception.REDIRECT, "default", "reviews-v1", {"app": "reviews"}),
    "plain": (
        ProxyType.SIDECAR,
        Interception.REDIRECT,
        "default",
        "cache-v1",
        {"app": "cache", "version": "v1"},
    ),
    "elsewhere": (ProxyType.SIDECAR, Interception.REDIRECT, "shop", "o1", {}),
    "gateway": (ProxyType.ROUTER, Interception.EXPLICIT, "default", "edge", INGRESS),
    "gateway elsewhere": (ProxyType.ROUTER, Interception.REDIRECT, "istio-system", "edge", INGRESS),
}
UPSTREAMS = (
    DeclaredUpstream("reviews", 9080, 18000),
    DeclaredUpstream("cache", 6379, 18001),
    DeclaredUpstream("api.example.com", 443, 18002),
    DeclaredUpstream("httpbin.org", 443, 18003),
)


class Mesh:
    def __init__(self, objects: list[Json]) -> None:
        self.snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
        self.registry = ObjectRegistry(
            domain_suffix=self.snapshot.mesh.domain_suffix, trust_domain=self.snapshot.mesh.trust_domain
        )
        for one in objects:
            self.put(typed(one))
        self.compiler = Compiler(self.snapshot)
        self.proxies: dict[str, Proxy] = {}
        self.look()

    # --- objects ----------------------------------------------------------------------------------------------------

    def put(self, obj: Object) -> set[Fact]:
        if obj.kind in REGISTRY:
            return self.snapshot.apply(self.registry.upsert(obj))
        return self.snapshot.put_config(obj)

    def remove(self, obj: Object) -> set[Fact]:
        place = (obj.metadata.namespace, obj.metadata.name)
        if obj.kind in REGISTRY:
            return self.snapshot.apply(self.registry.remove(obj.kind, *place))
        kind = kind_of(obj.api_version, obj.kind)
        assert kind is not None
        return self.snapshot.remove_config(kind.unique_name, *place)

    def refused(self) -> dict[Ref, str]:
        """What cannot be lowered, but for what this version says it does not serve yet."""
        found = {**self.registry.rejected, **self.snapshot.rejected}
        return {ref: said for ref, said in found.items() if NOT_YET not in said}

    # --- proxies ----------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Gives every proxy the views of the scope that it has now; whether one of them has another than before."""
        now = {name: self._proxy(name) for name in PROXIES}
        changed = now != self.proxies
        for name, proxy in now.items():
            if (before := self.proxies.get(name)) == proxy:
                continue
            self.compiler.shared(proxy.scope)
            self.compiler.own(proxy)
            for view in (self.compiler.shared(before.scope), self.compiler.own(before)) if before else ():
                self.compiler.release(view)
                self.compiler.release(view)
        self.proxies = now
        return changed

    def _proxy(self, name: str) -> Proxy:
        type_, interception, namespace, workload, labels = PROXIES[name]
        pairs = tuple(sorted(labels.items()))
        explicit = type_ is ProxyType.SIDECAR and interception is Interception.EXPLICIT
        return Proxy(
            namespace=namespace,
            name=workload,
            scope=self._scope(type_, interception, namespace, pairs),
            labels=pairs,
            outbound_port=15001 if explicit else 0,
            upstreams=UPSTREAMS if explicit else (),
            access_log=name != "plain",
        )

    def _scope(self, type_: ProxyType, interception: Interception, namespace: str, labels: ir.Pairs) -> Scope:
        return scope_of(
            Reader(self.snapshot),
            type=type_,
            interception=interception,
            namespace=namespace,
            labels=labels,
            metadata=METADATA,
            workload=PLACE,
        )

    def apply(self, facts: set[Fact]) -> bool:
        """Brings a change to the proxies; whether one of them gets something else."""
        changed = bool(self.compiler.apply(facts))
        return self.look() or changed

    def concerns(self, body: Json) -> bool:
        """Whether some proxy would get something else without the object. Leaves the mesh as it was."""
        obj = typed(body)
        before = self.bytes()
        without = self.apply(self.remove(obj))
        self.apply(self.put(obj))
        assert self.bytes() == before, f"taken away and put again, it is not what it was: {body}"
        return without

    # --- what comes out ---------------------------------------------------------------------------------------------

    def resources(self) -> Iterator[tuple[str, str, str, Resource]]:
        """(proxy, type URL, name, resource) of everything."""
        for name, proxy in self.proxies.items():
            for view in (self.compiler.shared(proxy.scope), self.compiler.own(proxy)):
                for type_url, held in view.resources.items():
                    for one in held.values():
                        yield name, type_url, one.name, one
                self.compiler.release(view)

    def bytes(self) -> Bytes:
        return {(proxy, type_url, name): one.version for proxy, type_url, name, one in self.resources()}

    def errors(self) -> dict[tuple[str, str], str]:
        return {slot: said for slot, said in self.compiler.errors.items() if NOT_YET not in said}

    def faults(self) -> dict[Ref, str]:
        return {ref: self.compiler.faults.of(ref) for ref in self.compiler.faults}

    def accepted(self, folder: Path) -> None:
        """Fails unless Envoy accepts what every proxy gets, with the mesh's secrets in it."""
        for proxy in self.proxies.values():
            secrets = {
                name: json_format.MessageToDict(message, preserving_proto_field_name=True)
                for name, message in self._secrets(proxy)
            }
            validate(dump(self.snapshot, proxy), folder, secrets)

    def _secrets(self, proxy: Proxy) -> list[tuple[str, secret_pb2.Secret]]:
        held = self.compiler.shared(proxy.scope).resources.get(SECRET, {}) | self.compiler.own(
            proxy
        ).resources.get(SECRET, {})
        return [
            (
                name,
                secret_pb2.Secret.FromString(discovery_pb2.Resource.FromString(one.frame).resource.value),
            )
            for name, one in held.items()
            if name.startswith(names.SECRETS)
        ]


def typed(body: Json) -> Object:
    return decode(json.dumps(any_object.as_stored(body)).encode())


def beside(objects: list[Json]) -> list[Json]:
    """Those of the base that none of the objects replaces, and the objects."""
    taken = {_place(one) for one in objects}
    return [one for one in BASE if _place(one) not in taken] + objects


def _place(body: Json) -> tuple[str, str, str, str]:
    stored = any_object.as_stored(body)
    metadata = stored["metadata"]
    group = stored["apiVersion"].rpartition("/")[0]
    return group, stored["kind"], metadata.get("namespace", ""), metadata["name"]


def drawn(chance: random.Random, number: int) -> list[Json]:
    return beside(any_object.objects(chance, number))
