"""Objects as people write them, short: YAML in, typed objects and a loaded Snapshot out."""

from __future__ import annotations

from typing import Any

import yaml

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.resources.meta import Object

API = {
    "VirtualService": "networking.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1",
    "Gateway": "networking.istio.io/v1",
    "Sidecar": "networking.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "AuthorizationPolicy": "security.istio.io/v1",
    "RequestAuthentication": "security.istio.io/v1",
    "Telemetry": "telemetry.istio.io/v1",
    "EnvoyFilter": "networking.istio.io/v1alpha3",
}
REVIEWS = "reviews.default.svc.cluster.local"
RATINGS = "ratings.default.svc.cluster.local"


def obj(kind: str, name: str, spec: Any, *, namespace: str = "default", created: str = "") -> Object:
    """`spec` is a dict or YAML. `name` may be namespace/name."""
    if "/" in name:
        namespace, _, name = name.partition("/")
    body = {
        "apiVersion": API[kind],
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": yaml.safe_load(spec) if isinstance(spec, str) else spec,
    }
    if created:
        body["metadata"]["creationTimestamp"] = created
    return decode(body)


def mesh_config(text: str, *, namespace: str = "istio-system", name: str = "istio") -> Object:
    metadata = {"name": name, "namespace": namespace}
    return decode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}})


def service(host: str, *ports: int, namespace: str = "", **more: Any) -> ir.Service:
    """`reviews` is short for the host of a Service in `default`; a host with dots is a ServiceEntry's."""
    short = "." not in host
    hostname = f"{host}.{namespace or 'default'}.svc.cluster.local" if short else host
    fields: dict[str, Any] = {
        "hostname": hostname,
        "name": host,
        "namespace": namespace or "default",
        "ports": tuple(
            ir.ServicePort(name=f"http-{port}", number=port, protocol=ir.Protocol.HTTP) for port in ports
        ),
        "kubernetes": short,
    }
    return ir.Service(**(fields | more))


def snapshot(*parts: Object | ir.Service) -> Snapshot:
    """A Snapshot of these; an object that is rejected fails the test."""
    made = Snapshot()
    for part in parts:
        if isinstance(part, ir.Service):
            made.put_service(part)
        else:
            made.put_config(part)
    assert made.rejected == {}
    return made


def scope(
    made: Snapshot, namespace: str = "default", type: ProxyType = ProxyType.SIDECAR, **labels: str
) -> Scope:
    return scope_of(Reader(made), type=type, namespace=namespace, labels=tuple(sorted(labels.items())))


def to(host: str, port: int, subset: str = "", weight: int = 1) -> ir.WeightedDestination:
    return ir.WeightedDestination(ir.Destination(host, port, subset), weight)


def exact(value: str) -> ir.StringMatch:
    return ir.StringMatch(ir.MatchKind.EXACT, value)


def prefix(value: str) -> ir.StringMatch:
    return ir.StringMatch(ir.MatchKind.PREFIX, value)
