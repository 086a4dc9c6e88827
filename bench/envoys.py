"""Envoys that a benchmark runs by itself: the hand-written listeners and clusters, and a process from a configuration.

Rule: nothing here comes from the program but the way it starts an Envoy, so that every Envoy of a comparison runs with
the same flags.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from argosy.agent.bootstrap import arguments, envoy_binary

Json = dict[str, Any]
TYPE = "type.googleapis.com/envoy.extensions"
ROUTER: Json = {"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}


def command(config: Path) -> list[str]:
    return arguments(envoy_binary(), config)


@contextmanager
def envoy(folder: Path, name: str, bootstrap: Json) -> Iterator[int]:
    """Runs an Envoy with this configuration; gives its process id."""
    config = folder / f"{name}.json"
    config.write_text(json.dumps(bootstrap))
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command(config), stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        if process.poll() is not None:
            print(f"{name}: Envoy ended by itself:\n{(folder / f'{name}.log').read_text()[-2000:]}")
        process.terminate()
        process.wait()


def static(listeners: list[Json], clusters: list[Json]) -> Json:
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def http_listener(
    port: int,
    route: Json,
    *,
    tls: Json | None = None,
    filters: tuple[Json, ...] = (),
    access_log: tuple[Json, ...] = (),
) -> Json:
    """One route, one virtual host; `filters` come before the router."""
    chain: Json = {
        "filters": [
            {
                "name": "hcm",
                "typed_config": {
                    "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "hcm",
                    "route_config": {
                        "virtual_hosts": [
                            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}
                        ]
                    },
                    "http_filters": [*filters, ROUTER],
                    "access_log": list(access_log),
                },
            }
        ]
    }
    if tls:
        chain["transport_socket"] = {"name": "tls", "typed_config": tls}
    return {
        "name": f"l{port}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "enable_reuse_port": False,
        "filter_chains": [chain],
    }


def cluster(name: str, port: int, tls: Json | None = None) -> Json:
    """One endpoint; HTTP/2 where there is TLS."""
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    made: Json = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
    }
    if tls:
        made["transport_socket"] = {"name": "tls", "typed_config": tls}
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return made


def tls_certificate(folder: Path) -> Json:
    """The certificate of bench.certificates."""
    return {
        "certificate_chain": {"filename": str(folder / "cert.pem")},
        "private_key": {"filename": str(folder / "key.pem")},
    }


def trusted_ca(folder: Path) -> Json:
    return {"trusted_ca": {"filename": str(folder / "root.pem")}}


def _tls(folder: Path) -> Json:
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2"],
        "tls_certificates": [tls_certificate(folder)],
        "validation_context": trusted_ca(folder),
    }


def upstream_tls(folder: Path) -> Json:
    return {
        "@type": f"{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": _tls(folder),
    }


def downstream_tls(folder: Path) -> Json:
    return {
        "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": _tls(folder),
    }
