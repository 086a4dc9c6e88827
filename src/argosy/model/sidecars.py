"""What a Sidecar says: which hosts its workloads see, at which ports, and what becomes of all others.

Facts (Istio): an egress listener with a port decides for that port alone, one without for every port that no other
listener has; of a service in several namespaces the imported one counts. A VirtualService is imported by its own
namespace and any of its hosts, where either of the two host patterns covers the other; the services that an imported
VirtualService leads to can be reached, but have no host of their own. A Sidecar without egress sees everything. With
ingress, its ports are all that the workload has; what comes to others passes through.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.hostnames import EVERYWHERE, covers, is_address, patterns
from argosy.model.rules import Target, VirtualServiceRule
from argosy.model.scope import Selector

EVERY_PORT = 0
LOOPBACK = "127.0.0.1"


class Imports(Struct, frozen=True, kw_only=True):
    """`namespace/host` pairs, namespace `*` any; sorted, each once."""

    included: tuple[tuple[str, str], ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()

    def service(self, service: ir.Service) -> bool:
        return self._names(self.included, service) and not self._names(self.excluded, service)

    def _names(self, hosts: tuple[tuple[str, str], ...], service: ir.Service) -> bool:
        wanted = patterns(service.hostname)
        return any(
            namespace in (EVERYWHERE, service.namespace) and host in wanted for namespace, host in hosts
        )

    def rule(self, rule: VirtualServiceRule) -> bool:
        included = [host for namespace, host in self.included if namespace in (EVERYWHERE, rule.namespace)]
        excluded = [host for namespace, host in self.excluded if namespace in (EVERYWHERE, rule.namespace)]
        return any(
            any(covers(pattern, host) or covers(host, pattern) for pattern in included)
            and not any(covers(pattern, host) for pattern in excluded)
            for host in rule.hosts
        )


class EgressListener(Struct, frozen=True, kw_only=True):
    """`port` EVERY_PORT: every port that no other listener of the Sidecar has. `bind`: an address, or `unix://path`;
    "": where the hosts' addresses demand it. `captured`: whether traffic is redirected to it, or sent by itself."""

    imports: Imports
    port: int = EVERY_PORT
    protocol: ir.Protocol = ir.Protocol.UNSUPPORTED
    bind: str = ""
    captured: bool = True


class IngressListener(Struct, frozen=True, kw_only=True):
    """A port of the workload in place of those that its services name."""

    port: int  # the workload port
    protocol: ir.Protocol = ir.Protocol.UNSUPPORTED
    name: str = ""
    bind: str = ""  # an address; "": the proxy's own
    captured: bool = True  # whether traffic is redirected to it, or sent by itself
    endpoint: tuple[str, int] | None = (
        None  # the application: (address or unix://path, port); "": the workload's own IP, or the loopback
    )
    tls: ir.GatewayTls | None = None  # ended for the application; where the port takes no mesh TLS
    connection_pool: ir.ConnectionPool | None = None


class SidecarRule(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    created: str = ""
    selector: Selector | None = (
        None  # None: every workload of the namespace (of the root namespace: of the mesh)
    )
    ingress: tuple[IngressListener, ...] = ()  # (): the ports that the workload's services name
    egress: tuple[EgressListener, ...] = ()
    connection_pool: ir.ConnectionPool | None = (
        None  # of every port of the workload that does not say it itself
    )
    allow_any: bool | None = None  # None: as the mesh
    egress_proxy: Target | None = None  # the service to which requests to unknown hosts go

    @property
    def age(self) -> tuple[str, str, str]:
        return (self.created, self.name, self.namespace)

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"

    def listener(self, port: int) -> EgressListener | None:
        """The listener that decides for a port."""
        for wanted in (port, EVERY_PORT):
            for listener in self.egress:
                if listener.port == wanted and not listener.bind.startswith("unix://"):
                    return listener
        return None

    def lists(self, service: ir.Service, port: int) -> bool:
        """Whether the service is seen under its own name at a port."""
        listener = self.listener(port)
        return listener is not None and listener.imports.service(service)

    def imports_service(self, service: ir.Service) -> bool:
        """Whether it is seen at any of its ports, or on a Unix socket."""
        return any(
            listener.imports.service(service)
            and (listener.port == EVERY_PORT or service.port(listener.port) is not None)
            for listener in self.egress
        )

    def ports(self, workload: ir.Workload | None) -> tuple[ir.WorkloadPort, ...]:
        """The ports of the workload, in order of their numbers."""
        known = {port.workload: port for port in (workload.ports if workload else ())}
        if not self.ingress:
            return tuple(known[number] for number in sorted(known))
        own = workload.address if workload and is_address(workload.address) else ""
        found = (_workload_port(listener, known.get(listener.port), own) for listener in self.ingress)
        return tuple(sorted(found, key=lambda port: port.workload))

    def at(self, port: int) -> IngressListener | None:
        return next((listener for listener in self.ingress if listener.port == port), None)

    def inbound_pool(self, port: int) -> ir.ConnectionPool | None:
        listener = self.at(port)
        return (listener.connection_pool if listener else None) or self.connection_pool

    def imports_rule(self, rule: VirtualServiceRule, port: int | None = None) -> bool:
        """`port` None: at any port."""
        if port is None:
            return any(listener.imports.rule(rule) for listener in self.egress)
        listener = self.listener(port)
        return listener is not None and listener.imports.rule(rule)


def _workload_port(listener: IngressListener, known: ir.WorkloadPort | None, own: str) -> ir.WorkloadPort:
    number = listener.port
    base = known or ir.WorkloadPort(
        name=listener.name, workload=number, bind=number, application=number, protocol=listener.protocol
    )
    changes: dict[str, Any] = {"protocol": listener.protocol}
    if listener.endpoint is not None:
        address, port = listener.endpoint
        changes |= {"application": port, "application_address": address or own or LOOPBACK}
    return replace(base, **changes)


def imports(hosts: Iterable[str], namespace: str) -> Imports:
    """The hosts of an egress listener of a Sidecar in `namespace`: `[~]namespace/host`."""
    included: set[tuple[str, str]] = set()
    excluded: set[tuple[str, str]] = set()
    for written in hosts:
        of, _, host = written.partition("/")
        out = of.startswith("~")
        of = of.removeprefix("~")
        if of:
            (excluded if out else included).add((namespace if of == "." else of, host))
    return Imports(included=tuple(sorted(included)), excluded=tuple(sorted(excluded)))
