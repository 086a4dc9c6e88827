"""Listeners for what comes to a workload: one a workload port (explicit), or `virtualInbound` for all (redirect).

Filter chains by PeerAuthentication: STRICT has the mesh chain alone; PERMISSIVE recognises mesh traffic by its ALPN and
takes plaintext beside it, and where the port is not declared to be HTTP, TLS that is the application's own; DISABLE
takes what comes as it is, or ends the TLS that the Sidecar says. What comes to a port that nobody declares passes
through, and is held to the same modes: there is no default chain, which would take what a port's chains have refused.
"""

from __future__ import annotations

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from msgspec import Struct

from argosy.model.ir import MtlsMode, Protocol, TlsParameters
from argosy.translate import connection_manager, names, options, tls, wire
from argosy.translate.caller import Caller
from argosy.translate.connection_manager import ConnectionManager, Place
from argosy.translate.filters import authorization, listener, stats, tcp_proxy
from argosy.translate.generator import generator
from argosy.translate.http_or_tcp import Handling

VIRTUAL_INBOUND_PORT = 15006
PASSTHROUGH_SOURCE = "127.0.0.6"
"""Redirect: passthrough connections to the application come from here, so that they are not captured again."""


class InboundPort(Struct, frozen=True, kw_only=True):
    port: int  # the workload port; 0: every port that no other has
    handling: Handling
    mode: MtlsMode
    protocol: Protocol = Protocol.TCP
    passes: bool = False  # to where it wanted to go, in place of the application
    ends: tls.ServerTls | None = None  # TLS that the application would end itself; where the mode is DISABLE
    told_apart: int = 0  # see `names.authorization`
    service: str = ""
    mesh_tls: TlsParameters = TlsParameters()
    options: options.Options = options.NONE

    @property
    def cluster(self) -> str:
        return names.INBOUND_PASSTHROUGH if self.passes else names.inbound(self.port)

    @property
    def looks(self) -> bool:
        """Whether it matters what the first bytes are."""
        return self.mode is not MtlsMode.DISABLE or self.ends is not None


class InboundListenerKey(Struct, frozen=True, kw_only=True):
    address: str
    bind: int
    inbound: InboundPort

    @property
    def name(self) -> str:
        return names.inbound_listener(self.inbound.port)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.inbound.ends.secrets if self.inbound.ends else ()


@generator
def inbound_listener(key: InboundListenerKey) -> listener_pb2.Listener:
    out = listener_pb2.Listener(
        name=key.name,
        address=wire.address(key.address, key.bind),
        traffic_direction=wire.INBOUND,
        enable_reuse_port=wire.false(),
        listener_filters=[listener.tls_inspector()] if key.inbound.looks else [],
        filter_chains=chains(key.inbound),
    )
    options.wait(key.inbound.options, out)
    options.buffer(key.inbound.options.proxy.connections, out)
    return out


class VirtualInboundKey(Struct, frozen=True, kw_only=True):
    ports: tuple[InboundPort, ...] = ()
    options: options.Options = options.NONE

    @property
    def name(self) -> str:
        return names.VIRTUAL_INBOUND

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in self.ports if one.ends for name in one.ends.secrets))


@generator
def virtual_inbound(key: VirtualInboundKey) -> listener_pb2.Listener:
    out = listener_pb2.Listener(
        name=key.name,
        address=wire.address("0.0.0.0", VIRTUAL_INBOUND_PORT),  # noqa: S104  redirected connections come to any address
        traffic_direction=wire.INBOUND,
        enable_reuse_port=wire.false(),
        listener_filters=[listener.original_destination(), listener.tls_inspector()],
    )
    for inbound in key.ports:
        for chain in chains(inbound):
            chain.name = f"{inbound.port}_{chain.name}"
            if inbound.port:
                chain.filter_chain_match.destination_port.value = inbound.port
            out.filter_chains.append(chain)
    options.wait(key.options, out)
    options.buffer(key.options.proxy.connections, out)
    return out


def chains(key: InboundPort) -> list[listener_components_pb2.FilterChain]:
    handlers = _handlers(key)
    if key.mode is MtlsMode.DISABLE and key.ends is not None:
        ended = listener_components_pb2.FilterChain(
            name="tls", filters=handlers, transport_socket=tls.terminate(key.ends)
        )
        ended.filter_chain_match.transport_protocol = "tls"
        return [ended]
    if key.mode is MtlsMode.DISABLE:
        return [listener_components_pb2.FilterChain(name="plaintext", filters=handlers)]
    mesh = listener_components_pb2.FilterChain(
        name="mtls", filters=handlers, transport_socket=tls.mesh_server(key.mesh_tls)
    )
    mesh.filter_chain_match.transport_protocol = "tls"
    if key.mode is MtlsMode.STRICT:
        return [mesh]
    mesh.filter_chain_match.application_protocols.extend(names.ISTIO_ALPN)
    plaintext = listener_components_pb2.FilterChain(name="plaintext", filters=handlers)
    plaintext.filter_chain_match.transport_protocol = "raw_buffer"
    if key.handling is Handling.HTTP:
        return [mesh, plaintext]
    other_tls = listener_components_pb2.FilterChain(name="tls", filters=_bytes(key))
    other_tls.filter_chain_match.transport_protocol = "tls"
    return [mesh, plaintext, other_tls]


def _handlers(key: InboundPort) -> list[listener_components_pb2.Filter]:
    if key.handling is Handling.TCP:
        return _bytes(key)
    manager = ConnectionManager(
        place=Place.INBOUND,
        route=names.inbound(key.port),
        stat_prefix=f"inbound_{key.port}",
        port=key.port,
        told_apart=key.told_apart,
        service=key.service,
        options=key.options,
        # TLS that a Sidecar ends is of another authority, whose certificates may say what they want.
        caller=Caller.TOLD if key.ends is None else Caller.REMOVED,
    )
    return [connection_manager.network_filter(manager)]


def _bytes(key: InboundPort) -> list[listener_components_pb2.Filter]:
    proxy = tcp_proxy.TcpProxy(
        stat_prefix=key.cluster,
        clusters=((key.cluster, 1),),
        reporter=stats.Reporter(
            side=stats.Side.DESTINATION, service=key.service, port=0 if key.passes else key.port
        ),
        logs=key.options.logs,
        metrics=key.options.metrics,
    )
    return [
        *authorization.network_filters(key.told_apart),
        *tcp_proxy.network_filters(proxy, key.protocol),
    ]
