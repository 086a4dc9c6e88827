"""A small shop, and requests in it."""

from __future__ import annotations

from typing import Any

import yaml
from msgspec.structs import replace

from argosy.explain.declared import Upstreams
from argosy.explain.evaluate import Evaluator, Sender, gateway, sidecar
from argosy.explain.outcome import Forwarded, Outcome
from argosy.explain.request import ClientCertificate, to
from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.scope import Interception
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode

SHOP = "shop.svc.cluster.local"
LABELS = (("app", "web"),)


def service(name: str, *ports: tuple[int, Protocol], **more: Any) -> ir.Service:
    fields: dict[str, Any] = {
        "hostname": f"{name}.{SHOP}",
        "name": name,
        "namespace": "shop",
        "ports": tuple(
            ir.ServicePort(name=f"p{number}", number=number, protocol=kind) for number, kind in ports
        ),
    }
    return ir.Service(**(fields | more))


def endpoint(version: str, port: int = 9080, **more: Any) -> ir.Endpoint:
    fields: dict[str, Any] = {
        "address": "10.0.0.1",
        "port": 20000,
        "port_name": f"p{port}",
        "workload": f"reviews-{version}",
        "namespace": "shop",
        "labels": (("version", version),),
        "mtls": True,
    }
    return ir.Endpoint(**(fields | more))


def shop(*texts: str, allow_any: bool = True, **settings: Any) -> Snapshot:
    """reviews (HTTP on 9080, in two versions), cache (TCP), secure (TLS), and configuration as people write it."""
    made = Snapshot(ir.Mesh(outbound_allow_any=allow_any, **settings))
    made.put_service(service("reviews", (9080, Protocol.HTTP)))
    made.put_endpoints(f"reviews.{SHOP}", (endpoint("v1"), endpoint("v2", address="10.0.0.2", healthy=False)))
    made.put_service(service("cache", (6379, Protocol.TCP), addresses=("10.1.0.3",)))
    made.put_endpoints(f"cache.{SHOP}", (endpoint("c", 6379),))
    made.put_service(service("secure", (8443, Protocol.TLS)))
    made.put_endpoints(f"secure.{SHOP}", (endpoint("s", 8443),))
    for text in texts:
        for document in yaml.safe_load_all(text):
            document["metadata"].setdefault("namespace", "shop")
            made.put_config(decode(document))
    assert not made.rejected
    return made


def virtual_service(http: str, hosts: str = "[reviews]", name: str = "vs", more: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: {hosts}
  http: {http}
  {more}
"""


def web(made: Snapshot, interception: Interception = Interception.EXPLICIT) -> Sender:
    return sidecar(made, "shop", "web-1", LABELS, interception)


def asked(
    made: Snapshot,
    destination: str,
    *headers: tuple[str, str],
    method: str = "GET",
    interception: Interception = Interception.EXPLICIT,
    upstreams: Upstreams = (),
) -> Outcome:
    request, known = to(destination, method=method, headers=headers)
    evaluator = Evaluator(made, web(made, interception)).declaring(upstreams)
    return evaluator.outcome(request if known else evaluator.as_spoken(request))


def asked_at_gateway(
    made: Snapshot,
    destination: str,
    source: str = "",
    certificate: ClientCertificate = ClientCertificate.UNKNOWN,
) -> Outcome:
    sender = gateway(made, "shop", (("istio", "ingressgateway"),))
    request = replace(to(destination)[0], source=source, certificate=certificate)
    return Evaluator(made, sender).outcome(request)


def clusters(outcome: Outcome) -> list[str]:
    assert isinstance(outcome.verdict, Forwarded), outcome.verdict
    return [one.cluster.name for one in outcome.verdict.targets]


def reasons(outcome: Outcome) -> list[str]:
    return [one.because for one in outcome.misses]
