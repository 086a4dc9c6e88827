"""Egress listeners of a Sidecar that the application connects to by itself: at an address, or a Unix socket.

Facts (Istio): one has the hosts that it imports and no others, by their bare names where its port is theirs; without
HTTP nothing tells its services apart, and the oldest has the connections.
"""

from __future__ import annotations

from argosy.explain.domains import Domains
from argosy.explain.request import Request
from argosy.explain.view import View
from argosy.explain.virtual_hosts import VirtualHost, names_of
from argosy.model import ir
from argosy.model.scope import Interception
from argosy.model.sidecars import EVERY_PORT, LOOPBACK, EgressListener

HTTP_PORT = 80


def name(listener: EgressListener) -> str:
    return listener.bind if _is_socket(listener) else f"{_address(listener)}_{listener.port}"


def listener(view: View, request: Request) -> EgressListener | None:
    """The one that a request is sent to; None where it is sent to none of them."""
    sidecar = view.reader.sidecar(view.scope)
    if sidecar is None or not request.address:
        return None
    explicit = view.scope.interception is Interception.EXPLICIT
    for one in sidecar.egress:
        listens = not one.captured or (explicit and bool(one.bind))
        at_port = one.port == request.port and one.port != EVERY_PORT
        if listens and (_is_socket(one) or at_port) and _address(one) == request.address:
            return one
    return None


def by_routes(listener: EgressListener) -> bool:
    return listener.protocol.is_http or listener.protocol is ir.Protocol.UNSUPPORTED


def imported(view: View, listener: EgressListener) -> list[tuple[ir.Service, ir.ServicePort]]:
    """The oldest first."""
    reader = view.reader
    found = []
    for hostname in reader.hosts():
        service = reader.service(hostname)
        if service is None or not reader.visible(view.scope, hostname):
            continue
        if listener.imports.service(service):
            found += [(service, port) for port in service.ports if listener.port in (EVERY_PORT, port.number)]
    return sorted(found, key=lambda one: (one[0].created, one[0].hostname, one[1].number))


def domains(view: View, listener: EgressListener) -> Domains[VirtualHost]:
    suffix = view.reader.mesh().domain_suffix
    claims: list[tuple[tuple[int, str, str, str], str, VirtualHost]] = []
    for service, port in imported(view, listener):
        names = names_of(service, view.scope.namespace, suffix)
        bare = names if port.number in (listener.port, HTTP_PORT) or len(service.ports) == 1 else ()
        owner = VirtualHost(service.hostname, port.number)
        for wanted in (*bare, *(f"{one}:{port.number}" for one in names)):
            full = wanted in (service.hostname, f"{service.hostname}:{port.number}")
            rank = (0 if full else 1, service.created, service.hostname, str((owner.host, owner.port)))
            claims.append((rank, wanted, owner))
    return Domains((wanted, owner) for _, wanted, owner in sorted(claims, key=lambda one: one[0]))


def _is_socket(listener: EgressListener) -> bool:
    return listener.bind.startswith("unix://")


def _address(listener: EgressListener) -> str:
    return listener.bind or LOOPBACK
