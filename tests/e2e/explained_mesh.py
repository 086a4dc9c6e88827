"""Random configuration for the evaluator against real Envoy. Requests near what it matches: explained_requests.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.networks import Network, NetworkGateway, Networks
from argosy.model.proxy_settings import Connections, ProxySettings
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.resources.validation import validate
from tests.e2e.explained_edges import LOOKED_UP, PORTS, SUFFIX, TCP_PORT, TLS_PORT, WILD, written
from tests.e2e.explained_rules import FOR_BROWSERS, Rules

HOME, AWAY = "home", "away"
"""Networks: the client's, and one that has a gateway, as a rule."""
GATEWAY = ("gateway", "")
"""Of the endpoints."""
GATEWAY_HOST = f"east-west.istio-system.{SUFFIX}"
VERSIONS = ("v1", "v2", "v3")
SERVICES = ("alpha", "beta", "gamma", "delta")
LABELS = (("app", "client"), ("tier", "front"))
ADDRESS = "10.9.1.1"
"""Of the client's workload."""
CLIENT_NAMESPACE = "default"
ENDPOINTS = (*((name, version) for name in SERVICES for version in VERSIONS), GATEWAY, LOOKED_UP)
"""That a generator may need."""

SLASHES = ("KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")
ORIGINATED = "named.test"
"""The name that TLS of a DestinationRule asks for."""
ANSWERED = ("x-r", "x-b", "x-new", "x-added", *FOR_BROWSERS)
"""Headers that are compared where an answer arrives."""
SENT_BACK = ("x-a", "x-b", "x-user", "x-mixed", "user", "x-new", "x-forwarded-host", "x_under")
"""Headers that are compared where they arrive."""


def identity_of(service: str) -> str:
    """Of the upstreams of a service."""
    return f"spiffe://cluster.local/ns/{'other' if service == 'delta' else 'default'}/sa/{service}"


def has_sidecar(service: str, version: str) -> bool:
    """Always the same ones: what is connected stays connected when an endpoint turns into another."""
    return (SERVICES.index(service) + VERSIONS.index(version)) % 2 == 0


class Arrival(Struct, frozen=True):
    """What of the mesh's settings stands in listeners, which stay as they are."""

    paths: ir.Paths = ir.Paths.BASE
    sidecars: Connections = Connections()
    gateways: Connections = Connections()
    trusted: int = 0  # proxies before a gateway


AS_USUAL = Arrival()


@dataclass
class Mesh:
    """One configuration: `texts` is what was applied."""

    snapshot: Snapshot
    objects: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0


class Configurations(Rules):
    # --- configuration ----------------------------------------------------------------------------------------------

    def mesh(self, arrival: Arrival = AS_USUAL) -> Mesh:
        allow_any = self.chance(15)
        settings = ir.Mesh(
            outbound_allow_any=allow_any,
            outbound_by_name=allow_any and self.chance(50),
            paths=arrival.paths,
            proxy=ProxySettings(
                forwarded_host=self.random.choice((None, None, None, True, False)),
                connections=arrival.sidecars,
                gateway_connections=arrival.gateways,
                trusted_proxies=arrival.trusted,
            ),
        )
        if self.chance(40):
            settings = replace(settings, networks=self._networks())
        mesh = Mesh(Snapshot(settings))
        if settings.networks:
            self._network_gateway(mesh.snapshot)
        for name in SERVICES:
            self._service(mesh.snapshot, name)
        if LOOKED_UP in self.endpoints and self.chance(50):
            self._looked_up(mesh.snapshot)
        for number in range(self.random.randint(2, 5)):
            self._put(mesh, self._virtual_service(f"vs-{number}"))
        if self.chance(30):
            self._put(mesh, self._delegate())
        for number in range(self.random.randint(1, 5)):
            self._put(mesh, self._destination_rule(f"dr-{number}"))
        for number in range(self.one(0, 1, 1, 2, 2)):
            self._put(mesh, self._gateway(f"gw-{number}"))
            if self.chance(80):
                self._put(mesh, self._at_edge(f"edge-{number}"))
        if self.chance(35):
            self._put(mesh, self._sidecar())
        return mesh

    def _networks(self) -> Networks:
        relay = self.endpoints[GATEWAY]
        gateways = self.one(
            (NetworkGateway(address="127.0.0.1", port=relay),),
            (NetworkGateway(service=GATEWAY_HOST, port=15443),),
            (),
        )
        blocks, whole = self.one(((), False), ((), False), (("127.0.0.0/8",), False), ((), True))
        away = Network(name=AWAY, gateways=gateways, blocks=blocks, whole_registry=whole)
        return self.one((away,), (Network(name=HOME), away), (away, Network(name="far")))  # type: ignore[no-any-return]

    def _network_gateway(self, snapshot: Snapshot) -> None:
        port = ir.ServicePort(name="tls", number=15443, protocol=Protocol.TLS)
        service = ir.Service(
            hostname=GATEWAY_HOST, name="east-west", namespace="istio-system", ports=(port,), kubernetes=True
        )
        snapshot.put_service(service)
        own = ir.Endpoint(
            address="127.0.0.1",
            port=self.endpoints[GATEWAY],
            port_name="tls",
            network=AWAY,
            namespace="istio-system",
        )
        snapshot.put_endpoints(GATEWAY_HOST, (own,))

    def _looked_up(self, snapshot: Snapshot) -> None:
        number = self.endpoints[LOOKED_UP]
        port = ir.ServicePort(
            name="p", number=number, protocol=self.one(Protocol.HTTP, Protocol.HTTP, Protocol.TLS)
        )
        service = ir.Service(
            hostname=f"*{WILD}",
            name="wild",
            namespace="default",
            ports=(port,),
            resolution=ir.Resolution.DYNAMIC_DNS,
            external=True,
        )
        snapshot.put_service(service)

    def arrival(self) -> Arrival:
        return Arrival(self.one(*ir.Paths), self._connections(), self._connections(), self.one(0, 0, 1))

    def _connections(self) -> Connections:
        return Connections(
            underscores=self.one("", "", "ALLOW", "REJECT_REQUEST", "DROP_HEADER"),
            merge_slashes=self.one(None, None, True, False),
            escaped_slashes=self.one("", "", *SLASHES),
        )

    def _put(self, mesh: Mesh, obj: dict[str, Any]) -> None:
        if not validate(obj).valid:
            mesh.refused += 1
            return
        mesh.objects.append(obj)
        mesh.snapshot.put_config(decode(obj))
        assert not mesh.snapshot.rejected, mesh.snapshot.rejected

    def _service(self, snapshot: Snapshot, name: str) -> None:
        namespace = "other" if name == "delta" else "default"
        ports = {number: Protocol.HTTP for number in (PORTS if self.chance(70) else self.some(PORTS, 1, 2))}
        if self.chance(20):
            ports[self.one(*ports)] = self.one(Protocol.UNSUPPORTED, Protocol.TCP)
        if self.chance(35):
            ports[TCP_PORT] = Protocol.TCP
        if self.chance(35):
            ports[TLS_PORT] = self.one(Protocol.TLS, Protocol.HTTPS)
        elsewhere = self.chance(6)
        hostname = f"{name}.{namespace}.{SUFFIX}"
        if name == "gamma" and self.chance(50):
            hostname = self.one("gamma.example.test", "*.example.test")
        service = ir.Service(
            hostname=hostname,
            name=name,
            namespace=namespace,
            ports=tuple(
                ir.ServicePort(name=f"p{number}", number=number, protocol=kind)
                for number, kind in sorted(ports.items())
            ),
            addresses=tuple(
                f"{block}.{SERVICES.index(name)}"
                for block in (self.one(("127.1.0",), ("127.1.0", "10.9.0")) if self.chance(30) else ())
            ),
            export_to=("other",) if elsewhere else ("*",),
            kubernetes=hostname.endswith(SUFFIX),
            created=f"2026-01-0{self.random.randint(1, 9)}T00:00:00Z",
        )
        snapshot.put_service(service)
        networks = [""] if not snapshot.mesh.networks else ["", HOME, AWAY, AWAY, "far"]
        versions = self.some(VERSIONS, 0 if self.chance(8) else 2, 3)
        snapshot.put_endpoints(
            service.hostname,
            tuple(
                ir.Endpoint(
                    address="127.0.0.1",
                    port=self.endpoints[name, version],
                    port_name=f"p{number}",
                    healthy=not self.chance(10),
                    mtls=has_sidecar(name, version),
                    service_account=name,
                    workload=f"{name}-{version}",
                    namespace=namespace,
                    labels=(("app", name), ("version", version)),
                    network=network,
                )
                for version, network in [(version, self.one(*networks)) for version in versions]
                for number in sorted(ports)
            ),
        )

    def _destination_rule(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "host": self.one(
                "alpha", "alpha", "beta", "gamma", f"*.{SUFFIX}", f"delta.other.{SUFFIX}", f"*{WILD}"
            )
        }
        if self.chance(80):
            spec["subsets"] = [
                {"name": version, "labels": {"version": version}} for version in self.some(("v1", "v2"), 1, 2)
            ]
        if self.chance(40):
            balancers = (
                {"simple": "ROUND_ROBIN"},
                {"simple": "RANDOM"},
                {"consistentHash": {"httpHeaderName": "x-a"}},
            )
            spec["trafficPolicy"] = {"loadBalancer": self.one(*balancers)}
        if self.chance(25):
            spec.setdefault("trafficPolicy", {})["tls"] = self.one(
                {"mode": "DISABLE"}, {"mode": "SIMPLE", "insecureSkipVerify": True, "sni": ORIGINATED}
            )
        if self.chance(15):
            spec["exportTo"] = [self.one(".", "*", "other")]
        return written("DestinationRule", name, self.one("default", "default", "other"), spec)
