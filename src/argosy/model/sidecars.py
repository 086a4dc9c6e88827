"""What a Sidecar says: which hosts its workloads see, at which ports, and what becomes of all others.

Facts (Istio): an egress listener with a port decides for that port alone, one without for every port that no other
listener has; of a service in several namespaces the imported one counts. A VirtualService is imported by its own
namespace and any of its hosts, where either of the two host patterns covers the other; the services that an imported
VirtualService leads to can be reached, but have no host of their own. A Sidecar without egress sees everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from argosy.model import ir
from argosy.model.hostnames import EVERYWHERE, covers, patterns
from argosy.model.rules import Target, VirtualServiceRule
from argosy.model.scope import Selector

EVERY_PORT = 0


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


class SidecarRule(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    created: str = ""
    selector: Selector | None = (
        None  # None: every workload of the namespace (of the root namespace: of the mesh)
    )
    egress: tuple[EgressListener, ...] = ()
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

    def imports_rule(self, rule: VirtualServiceRule, port: int | None = None) -> bool:
        """`port` None: at any port."""
        if port is None:
            return any(listener.imports.rule(rule) for listener in self.egress)
        listener = self.listener(port)
        return listener is not None and listener.imports.rule(rule)


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
