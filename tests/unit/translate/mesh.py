"""What the tests' mesh holds, and how tests write configuration."""

from __future__ import annotations

from typing import Any

import yaml
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from argosy.model import ir
from argosy.model.facts import Fact
from argosy.model.ir import Protocol
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate.resource import Resource

SUFFIX = "default.svc.cluster.local"


def service(name: str, *ports: tuple[int, Protocol], **fields: Any) -> ir.Service:
    namespace = fields.pop("namespace", "default")
    return ir.Service(
        hostname=fields.pop("hostname", f"{name}.{namespace}.svc.cluster.local"),
        name=name,
        namespace=namespace,
        ports=tuple(
            ir.ServicePort(name=f"p{number}", number=number, protocol=kind) for number, kind in ports
        ),
        **fields,
    )


def endpoint(name: str, version: str, port: int, bind: int, **fields: Any) -> ir.Endpoint:
    given: dict[str, Any] = {
        "address": "127.0.0.1",
        "workload": f"{name}-{version}",
        "namespace": "default",
        "service_account": name,
        "app": name,
        "version": version,
        "labels": (("app", name), ("version", version)),
        "mtls": True,
    }
    return ir.Endpoint(port=bind, port_name=f"p{port}", **(given | fields))


def workload(name: str, version: str, *ports: tuple[int, int, int, Protocol], **fields: Any) -> ir.Workload:
    return ir.Workload(
        name=f"{name}-{version}",
        namespace="default",
        service_account=name,
        address="127.0.0.1",
        labels=(("app", name), ("version", version)),
        ports=tuple(
            ir.WorkloadPort(
                name=f"p{port}",
                workload=port,
                bind=bind,
                application=application,
                protocol=protocol,
                service_hosts=(f"{name}.{SUFFIX}",),
                service_ports=(port,),
            )
            for port, bind, application, protocol in ports
        ),
        **fields,
    )


def populate(snapshot: Snapshot) -> None:
    """reviews (HTTP, two versions), inventory (gRPC), cache (TCP), httpbin.org (DNS), *.example.com (NONE)."""
    for one in (
        service("reviews", (9080, Protocol.HTTP), addresses=("10.0.0.1",)),
        service("inventory", (9090, Protocol.GRPC)),
        service("cache", (6379, Protocol.TCP), addresses=("10.0.0.3",)),
        service(
            "httpbin",
            (80, Protocol.HTTP),
            (443, Protocol.TLS),
            hostname="httpbin.org",
            resolution=ir.Resolution.DNS,
            external=True,
            kubernetes=False,
        ),
        service(
            "wild",
            (443, Protocol.TLS),
            hostname="*.example.com",
            resolution=ir.Resolution.NONE,
            external=True,
            kubernetes=False,
        ),
    ):
        snapshot.put_service(one)
    snapshot.put_endpoints(
        f"reviews.{SUFFIX}", (endpoint("reviews", "v1", 9080, 20001), endpoint("reviews", "v2", 9080, 20002))
    )
    snapshot.put_endpoints(f"inventory.{SUFFIX}", (endpoint("inventory", "v1", 9090, 20003),))
    snapshot.put_endpoints(f"cache.{SUFFIX}", (endpoint("cache", "v1", 6379, 20004),))
    snapshot.put_endpoints(
        "httpbin.org",
        tuple(
            ir.Endpoint(address="httpbin.org", port=number, port_name=f"p{number}") for number in (80, 443)
        ),
    )
    snapshot.put_workload(workload("reviews", "v1", (9080, 20001, 30001, Protocol.HTTP)))
    snapshot.put_workload(workload("cache", "v1", (6379, 20004, 30004, Protocol.TCP)))


def put(snapshot: Snapshot, text: str) -> set[Fact]:
    """Applies configuration as people write it; what the snapshot rejects fails the test."""
    facts: set[Fact] = set()
    for document in yaml.safe_load_all(text):
        facts |= snapshot.put_config(decode(document))
    assert not snapshot.rejected
    return facts


def decoded(resource: Resource) -> dict[str, Any]:
    """A resource as protobuf JSON with proto field names."""
    packed = discovery_pb2.Resource.FromString(resource.frame).resource
    found: dict[str, Any] = json_format.MessageToDict(packed, preserving_proto_field_name=True)
    return found
