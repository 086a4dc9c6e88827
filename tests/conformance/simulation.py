"""Where a connection ends, told from what `argosy xds dump` shows: the part of Envoy that the conformance cases ask
for.

Listener by address and port (with what a captured connection wanted), filter chain by Envoy's criteria in their order,
TLS, then virtual host and route, or the TCP proxy's cluster. Facts: Envoy's FilterChainMatch: at each criterion only
the chains with the most specific value that fits go on, and what says nothing fits last.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

MANAGER = "envoy.filters.network.http_connection_manager"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"
HTTP_INSPECTOR = "envoy.filters.listener.http_inspector"
ANYWHERE = "1.3.3.7"  # the address of a call that names none: nobody's
MESH_SECRET = "default"


class Ends(Exception):
    """The call goes no further; the class of error."""


@dataclass(frozen=True)
class Call:
    port: int
    protocol: str = "tcp"  # tcp | http | http2
    address: str = ANYWHERE
    host: str = ""
    path: str = "/"
    headers: dict[str, str] = field(default_factory=dict)
    tls: str = "plaintext"  # plaintext | tls | mtls
    sni: str = ""
    alpn: frozenset[str] = frozenset()
    inbound: bool = False
    mesh_secret: str = MESH_SECRET

    @classmethod
    def written(cls, call: Json) -> Call:
        tls = call.get("tls", "plaintext")
        protocol = call.get("protocol", "tcp")
        host = call.get("hostHeader", "")
        return cls(
            port=call["port"],
            protocol=protocol,
            address=call.get("address", ANYWHERE),
            host=host,
            path=call.get("path", "/"),
            headers=call.get("headers", {}),
            tls=tls,
            sni=str(call.get("sni", host if tls == "tls" else "")),
            alpn=frozenset({call["alpn"]}) if call.get("alpn") else _alpn(tls, protocol),
            inbound=call.get("callMode") == "inbound",
            mesh_secret=call.get("mtlsSecretConfigName", MESH_SECRET),
        )


def _alpn(tls: str, protocol: str) -> frozenset[str]:
    """What a client of the mesh, or another, offers."""
    inner = {"http": "http/1.1", "http2": "h2"}.get(protocol, "")
    if tls == "mtls":
        return frozenset({"istio", f"istio-{inner}" if inner else "istio"})
    return frozenset({inner} if tls == "tls" and inner else ())


@dataclass
class Result:
    error: str = ""
    listener: str = ""
    chain: str = ""
    route_config: str = ""
    virtual_host: str = ""
    route: str = ""
    cluster: str = ""


def simulate(dump: Json, call: Call, proxy_type: str) -> Result:
    result = Result()
    try:
        _run(dump, call, proxy_type, result)
    except Ends as end:
        result.error = str(end)
    return result


def _run(dump: Json, call: Call, proxy_type: str, result: Result) -> None:
    listener = _listener(dump["listeners"], call, proxy_type)
    result.listener = listener["name"]
    chain = _filter_chain(listener, call)
    result.chain = chain.get("name", "")
    socket = chain.get("transport_socket", {}).get("typed_config", {})
    ends = "common_tls_context" in socket
    if ends and _is_mesh_tls(socket, call.mesh_secret) != (call.tls == "mtls"):
        raise Ends("ErrMTLSError")
    if ends and call.tls == "plaintext":
        raise Ends("ErrTLSError")
    for network_filter in chain["filters"]:
        config = network_filter["typed_config"]
        if network_filter["name"] == MANAGER:
            if call.tls != "plaintext" and not ends:
                raise Ends("ErrProtocolError")
            if call.protocol == "tcp":
                raise Ends("ErrProtocolError")
            _http(dump["routes"], config, call, result)
        elif network_filter["name"] == TCP_PROXY:
            result.cluster = config.get("cluster") or config["weighted_clusters"]["clusters"][0]["name"]


def _is_mesh_tls(socket: Json, secret: str) -> bool:
    """Whether it takes a certificate of the mesh, and nothing else."""
    named = [
        one["name"] for one in socket["common_tls_context"].get("tls_certificate_sds_secret_configs", [])
    ]
    return named[:1] == [secret] and socket.get("require_client_certificate", False)


# --- listeners ------------------------------------------------------------------------------------------------------


def _listener(listeners: list[Json], call: Call, proxy_type: str) -> Json:
    by_name = {one["name"]: one for one in listeners}
    if proxy_type == "sidecar" and call.inbound:
        return by_name["virtualInbound"]
    places = {_place(one): one for one in listeners}
    for address in (call.address, "0.0.0.0", "::"):
        if found := places.get((address, call.port)):
            return found
    if proxy_type == "sidecar" and "virtualOutbound" in by_name:
        return by_name["virtualOutbound"]
    raise Ends("ErrNoListener")


def _place(listener: Json) -> tuple[str, int]:
    socket = listener.get("address", {}).get("socket_address", {})
    return socket.get("address", ""), socket.get("port_value", 0)


# --- filter chains --------------------------------------------------------------------------------------------------


def _filter_chain(listener: Json, call: Call) -> Json:
    inspected = {one["name"] for one in listener.get("listener_filters", [])}
    seen_tls = call.tls != "plaintext" and TLS_INSPECTOR in inspected
    alpn: frozenset[str] = frozenset()
    if seen_tls:
        alpn = call.alpn
    elif call.tls == "plaintext" and HTTP_INSPECTOR in inspected:
        alpn = {"http": frozenset({"http/1.1"}), "http2": frozenset({"h2c"})}.get(call.protocol, alpn)
    sni = call.sni if seen_tls else ""
    transport = "tls" if seen_tls else "raw_buffer"
    criteria: tuple[Callable[[Json], int | None], ...] = (
        lambda match: _equal(match.get("destination_port"), call.port),
        lambda match: _prefix(match.get("prefix_ranges", []), call.address),
        lambda match: _server_name(match.get("server_names", []), sni),
        lambda match: _equal(match.get("transport_protocol") or None, transport),
        lambda match: _any_of(match.get("application_protocols", []), alpn),
    )
    chains = list(listener.get("filter_chains", []))
    for criterion in criteria:
        ranked = [(criterion(chain.get("filter_chain_match", {})), chain) for chain in chains]
        best = max((rank for rank, _ in ranked if rank is not None), default=None)
        chains = [chain for rank, chain in ranked if rank is not None and rank == best]
    if len(chains) > 1:
        raise Ends("ErrMultipleFilterChain")
    if chains:
        first: Json = chains[0]
        return first
    if default := listener.get("default_filter_chain"):
        found: Json = default
        return found
    raise Ends("ErrNoFilterChain")


def _equal(wanted: Any, value: Any) -> int | None:
    """None: it does not fit; else how specific the fit is."""
    if wanted is None:
        return 0
    return 1 if wanted == value else None


def _any_of(wanted: Iterable[str], offered: frozenset[str]) -> int | None:
    wanted = set(wanted)
    if not wanted:
        return 0
    return 1 if wanted & offered else None


def _prefix(ranges: list[Json], address: str) -> int | None:
    if not ranges:
        return 0
    at = ipaddress.ip_address(address)
    fits = []
    for one in ranges:
        network = ipaddress.ip_network(f"{one['address_prefix']}/{one.get('prefix_len', 0)}", strict=False)
        if network.version == at.version and at in network:
            fits.append(network.prefixlen + 1)
    return max(fits, default=None)


def _server_name(names: list[str], sni: str) -> int | None:
    if not names:
        return 0
    fits = []
    for name in names:
        if name == sni:
            fits.append(10_000)
        elif name.startswith("*.") and sni.endswith(name[1:]):
            fits.append(len(name))
    return max(fits, default=None)


# --- HTTP -----------------------------------------------------------------------------------------------------------


def _http(routes: list[Json], manager: Json, call: Call, result: Result) -> None:
    config = manager.get("route_config")
    if config is None:
        name = manager["rds"]["route_config_name"]
        config = next((one for one in routes if one["name"] == name), None)
        result.route_config = name
    if config is None:
        raise Ends("ErrNoRoute")
    host = _virtual_host(config, call.host)
    result.virtual_host = host["name"]
    if host.get("require_tls") == "ALL" and call.tls == "plaintext":
        raise Ends("ErrTLSRedirect")
    for route in host.get("routes", []):
        if _route_fits(route["match"], call):
            result.route = route.get("name", "")
            action = route.get("route", {})
            clusters = action.get("weighted_clusters", {}).get("clusters", [])
            result.cluster = action.get("cluster") or (clusters[0]["name"] if clusters else "")
            return
    raise Ends("ErrNoRoute")


def _virtual_host(config: Json, host: str) -> Json:
    """Envoy: exact, then the longest suffix wildcard, the longest prefix wildcard, `*`."""
    if config.get("ignore_port_in_host_matching"):
        host = host.partition(":")[0]
    best: tuple[int, int] | None = None
    found: Json | None = None
    for one in config.get("virtual_hosts", []):
        for domain in one["domains"]:
            rank = _domain(domain.lower(), host.lower())
            if rank is not None and (best is None or rank > best):
                best, found = rank, one
    if found is None:
        raise Ends("ErrNoVirtualHost")
    return found


def _domain(domain: str, host: str) -> tuple[int, int] | None:
    if domain == host:
        return 3, 0
    if domain == "*":
        return 0, 0
    if domain.startswith("*") and host.endswith(domain[1:]):
        return 2, len(domain)
    if domain.endswith("*") and host.startswith(domain[:-1]):
        return 1, len(domain)
    return None


def _route_fits(match: Json, call: Call) -> bool:
    if "connect_matcher" in match:
        return False
    path = call.path
    if "prefix" in match:
        fits = path.startswith(match["prefix"])
    elif "path" in match:
        fits = path == match["path"]
    elif "path_separated_prefix" in match:
        fits = path == match["path_separated_prefix"] or path.startswith(match["path_separated_prefix"] + "/")
    else:
        fits = re.fullmatch(match["safe_regex"]["regex"], path) is not None
    return fits and all(_header_fits(one, call) for one in match.get("headers", []))


def _header_fits(match: Json, call: Call) -> bool:
    value = {":authority": call.host, **call.headers}.get(match["name"])
    wanted = match.get("string_match", {})
    fits = value is not None and all(
        _text_fits(kind, text, value) for kind, text in wanted.items() if kind != "ignore_case"
    )
    return bool(fits) != bool(match.get("invert_match"))


def _text_fits(kind: str, wanted: Any, value: str) -> bool:
    if kind == "safe_regex":
        return re.fullmatch(wanted["regex"], value) is not None
    return value == wanted if kind == "exact" else value.startswith(wanted)
