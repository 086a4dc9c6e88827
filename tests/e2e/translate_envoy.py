"""One real Envoy for the translator's tests: validates a dump, or runs on what a compiler makes over a small delta ADS.

The ADS here is as plain as can be (it answers what is asked, pushes what changes, notes what is refused), so that what
is tested is the resources and not the delivery.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import queue
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import envoy
import grpc
import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2

from argosy.agent import bootstrap as agent_bootstrap
from argosy.model.facts import Fact
from argosy.model.snapshot import Snapshot
from argosy.resources.semantics import regex
from argosy.translate import extension, names
from argosy.translate.compiler import Compiler
from argosy.translate.filters.authorization import Layer, Slot
from argosy.translate.generator import resource
from argosy.translate.proxy import Proxy
from argosy.translate.resource import ENDPOINT, LISTENER, SECRET, Resource
from argosy.xds.node import ProxyNode
from tests.e2e.mesh import until
from tests.ports import free_port

ENVOY = next(
    Path(path) / "_bin" / "envoy" for path in envoy.__path__ if (Path(path) / "_bin" / "envoy").exists()
)
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


# --- validation -----------------------------------------------------------------------------------------------------


def peer_authentication(mode: str) -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: default}}
spec: {{mtls: {{mode: {mode}}}}}
"""


def validate(
    dump: dict[str, list[dict[str, Any]]], folder: Path, secrets: dict[str, dict[str, Any]] | None = None
) -> None:
    """Fails unless Envoy accepts everything in the dump, routes, endpoints and `secrets` (by name) put where they are
    used."""
    routes = {one["name"]: one for one in dump["routes"]}
    endpoints = {one["cluster_name"]: one for one in dump["endpoints"]}
    used: set[str] = set()
    for listener in dump["listeners"]:
        chains = [*listener.get("filter_chains", []), listener.get("default_filter_chain", {})]
        for network_filter in (one for chain in chains for one in chain.get("filters", [])):
            rds = network_filter["typed_config"].pop("rds", None)
            if rds is not None:
                used.add(rds["route_config_name"])
                network_filter["typed_config"]["route_config"] = routes[rds["route_config_name"]]
    # Routes of hosts that only VirtualServices name wait on port 80 for a listener.
    assert used == set(routes) - {"80"} | used & {"80"}, "every RouteConfiguration is used, and is there"
    for cluster in dump["clusters"]:
        if cluster.get("type") == "EDS":
            cluster["type"] = "STATIC"
            cluster.pop("eds_cluster_config")
            cluster["load_assignment"] = endpoints.pop(cluster["name"])
    beside = endpoints.pop(names.LOCAL_CLUSTER, None)  # its cluster stands in the bootstrap
    assert not endpoints, "every ClusterLoadAssignment has its cluster"
    held = secrets or {}
    static = {"listeners": dump["listeners"], "clusters": dump["clusters"], "secrets": list(held.values())}
    whole = bootstrap(folder, static)
    if beside is not None:
        local = {"name": names.LOCAL_CLUSTER, "type": "STATIC", "load_assignment": beside}
        whole["static_resources"]["clusters"].append(local)
        whole["cluster_manager"] = {"local_cluster_name": names.LOCAL_CLUSTER}
    path = folder / "bootstrap.json"
    path.write_text(json.dumps(_secrets_placed(whole, held.keys())))
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", path, "--log-level", "warning"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def _secrets_placed(value: Any, known: Set[str]) -> Any:
    """Secrets that are known are static. `--mode validate` of Envoy 1.40 ends in a segmentation fault where a secret
    comes by ADS: there it comes by a stream of its own."""
    if isinstance(value, list):
        return [_secrets_placed(one, known) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _secrets_placed(one, known) for key, one in value.items()}
    if "sds_config" in found and found["name"] in known:
        del found["sds_config"]
    elif "sds_config" in found:
        found["sds_config"] = {
            "api_config_source": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}],
            }
        }
    return found


OFTEN = ("--file-flush-interval-msec", "20")
"""Options: access logs are written at once."""


def launched(folder: Path, made: dict[str, Any], *options: str) -> subprocess.Popen[bytes]:
    """An Envoy of a bootstrap; what it says goes to `envoy.log`."""
    path = folder / "bootstrap.json"
    path.write_text(json.dumps(made))
    command = [
        str(ENVOY),
        "-c",
        str(path),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "warning",
    ]
    with (folder / "envoy.log").open("wb") as log:
        return subprocess.Popen([*command, *options], stdout=log, stderr=log)


LIMITS = {"re2.max_program_size.error_level": regex.MAX_PROGRAM}
"""As the agent's bootstrap has it."""


def bootstrap(folder: Path, static: dict[str, Any], admin: int = 0) -> dict[str, Any]:
    clusters = [
        *static.get("clusters", []),
        {
            "name": "ads",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": "ads",
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {"endpoint": {"address": {"pipe": {"path": str(folder / "ads.sock")}}}}
                        ]
                    }
                ],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            },
        },
    ]
    return {
        "node": {
            "id": "sidecar~127.0.0.1~reviews-v1.default~default.svc.cluster.local",
            "cluster": "reviews",
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "stats_flush_interval": "0.2s",
        "layered_runtime": {"layers": [{"name": "static", "static_layer": LIMITS}]},
        "static_resources": {**static, "clusters": clusters},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}],
            },
            **({"cds_config": _ADS, "lds_config": _ADS} if admin else {}),
        },
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {
                    "@type": (
                        "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
                    )
                },
            }
        ],
    }


def placed(made: dict[str, Any], locality: str) -> dict[str, Any]:
    """With what the agent's bootstrap says of a proxy that knows where it is."""
    own = agent_bootstrap.Bootstrap(
        name="a", namespace="b", locality=locality, proxy=ProxyNode(), admin_socket="", xds_socket=""
    )
    written = agent_bootstrap.bootstrap(own)
    made["node"] |= {key: value for key, value in written["node"].items() if key == "locality"}
    made |= {key: value for key, value in written.items() if key == "cluster_manager"}
    clusters = written["static_resources"]["clusters"]
    made["static_resources"]["clusters"] += [
        one for one in clusters if one["name"] != agent_bootstrap.AGENT_CLUSTER
    ]
    return made


_ADS = {"ads": {}, "resource_api_version": "V3"}


# --- delivery -------------------------------------------------------------------------------------------------------


@dataclass
class Stream:
    """What one Envoy subscribed to, and what is to be sent to it."""

    out: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    wanted: dict[str, set[str]] = field(default_factory=dict)
    wildcard: set[str] = field(default_factory=set)


class Ads:
    """Serves `resources` over a Unix socket."""

    def __init__(self, path: Path) -> None:
        self.resources: dict[str, dict[str, Resource]] = {}
        self.refused: list[str] = []
        self.acknowledged = 0
        self.sent = 0
        self.lock = threading.Lock()
        self.streams: list[Stream] = []
        self.server = grpc.server(ThreadPoolExecutor(8))
        handler = grpc.stream_stream_rpc_method_handler(self.stream)
        service = grpc.method_handlers_generic_handler(METHOD.split("/")[1], {METHOD.split("/")[2]: handler})
        self.server.add_generic_rpc_handlers((service,))
        self.server.add_insecure_port(f"unix:{path}")
        self.server.start()

    def stream(self, requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        stream = Stream()
        with self.lock:
            self.streams.append(stream)
        threading.Thread(target=self.listen, args=(stream, requests), daemon=True).start()
        while (message := stream.out.get()) is not None:
            yield message

    def listen(self, stream: Stream, requests: Iterator[bytes]) -> None:
        with contextlib.suppress(grpc.RpcError):
            for data in requests:
                request = discovery_pb2.DeltaDiscoveryRequest.FromString(data)
                with self.lock:
                    self.take(stream, request)
        stream.out.put(None)

    def take(self, stream: Stream, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        kind = request.type_url
        if request.HasField("error_detail"):
            self.refused.append(request.error_detail.message)
        if request.response_nonce:
            self.acknowledged += 1
        first = kind not in stream.wanted
        names = stream.wanted.setdefault(kind, set())
        names.update(request.resource_names_subscribe)
        names.difference_update(request.resource_names_unsubscribe)
        held = self.resources.get(kind, {})
        if first and not request.resource_names_subscribe:
            stream.wildcard.add(kind)
            self.send(stream, kind, held, set())
        elif request.resource_names_subscribe:
            asked = set(request.resource_names_subscribe)
            found = {name: held[name] for name in asked & held.keys()}
            self.send(stream, kind, found, asked - held.keys())

    def send(self, stream: Stream, kind: str, upserts: dict[str, Resource], removals: set[str]) -> None:
        self.sent += 1
        head = discovery_pb2.DeltaDiscoveryResponse(
            type_url=kind, nonce=str(self.sent), removed_resources=sorted(removals)
        )
        frames = discovery_pb2.DeltaDiscoveryResponse(
            resources=[discovery_pb2.Resource.FromString(one.frame) for one in upserts.values()]
        )
        stream.out.put(head.SerializeToString() + frames.SerializeToString())

    def push(self, kind: str, upserts: dict[str, Resource], removals: set[str]) -> None:
        with self.lock:
            held = self.resources.setdefault(kind, {})
            held.update(upserts)
            for name in removals:
                held.pop(name, None)
            for stream in self.streams:
                wanted = stream.wanted.get(kind, set())
                everything = kind in stream.wildcard
                sent = {name: one for name, one in upserts.items() if everything or name in wanted}
                gone = {name for name in removals if everything or name in wanted}
                if sent or gone:
                    self.send(stream, kind, sent, gone)
                # Envoy warms a changed cluster, and acknowledges it, only when its endpoints come again.
                follows = {one.follow for one in sent.values() if one.follow} & stream.wanted.get(
                    ENDPOINT, set()
                )
                if follows:
                    again = {name: self.resources[ENDPOINT][name] for name in follows}
                    self.send(stream, ENDPOINT, again, set())

    def settled(self) -> bool:
        """Whether everything sent is acknowledged (or refused)."""
        with self.lock:
            return self.acknowledged >= self.sent

    def stop(self) -> None:
        for stream in self.streams:
            stream.out.put(None)
        self.server.stop(0)


# --- a running proxy ------------------------------------------------------------------------------------------------


class Authority:
    """A root and the certificates it signs, as secrets of the agent."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test root")])
        self.root = self._build(self.name, self.key, x509.BasicConstraints(ca=True, path_length=1))

    def _build(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        for one in extensions:
            builder = builder.add_extension(
                one, critical=isinstance(one, x509.BasicConstraints | x509.KeyUsage)
            )
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, identity: str, dns: str) -> tuple[bytes, bytes]:
        """(certificate, key) in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity), x509.DNSName(dns)])
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        certificate = self._build(x509.Name([]), key, names, usage)
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    def secrets(self, identity: str, dns: str) -> dict[str, Resource]:
        own = secret_pb2.Secret(name="default")
        chain, key = self.issue(identity, dns)
        own.tls_certificate.certificate_chain.inline_bytes = chain
        own.tls_certificate.private_key.inline_bytes = key
        roots = secret_pb2.Secret(name="ROOTCA")
        roots.validation_context.trusted_ca.inline_bytes = self.pem()
        return {one.name: resource(one.name, one) for one in (own, roots)}


def no_policies() -> dict[str, Resource]:
    """What stands in the places of policies where there are none: for listeners that are made by hand."""
    made = [
        extension.claim_headers(extension.ClaimHeadersKey(headers=())),
        extension.request_authentication(extension.RequestAuthenticationKey(rules=())),
        *(
            extension.authorization(extension.AuthorizationKey(layer=layer, slot=slot))
            for layer in Layer
            for slot in Slot
        ),
    ]
    return {one.name: one for one in made}


@dataclass
class Running:
    """An Envoy that runs what the compiler makes of the snapshot for one proxy."""

    folder: Path
    snapshot: Snapshot
    compiler: Compiler
    ads: Ads
    admin: int
    process: subprocess.Popen[bytes]
    authority: Authority

    def apply(self, facts: set[Fact]) -> None:
        """Brings a change to Envoy; returns when it acknowledged all of it. Nothing may be refused."""
        assert facts, "the change changes something"
        for _, changes in self.compiler.apply(facts):
            for kind, (upserts, removals) in changes.items():
                self.ads.push(kind, upserts, removals)
        until(self.ads.settled, "Envoy answers all that was sent")
        assert not self.ads.refused

    def stats(self, pattern: str) -> str:
        text: str = httpx.get(f"http://127.0.0.1:{self.admin}/stats?filter={pattern}", trust_env=False).text
        return text

    def prometheus(self) -> str:
        text: str = httpx.get(f"http://127.0.0.1:{self.admin}/stats/prometheus", trust_env=False).text
        return text

    def log(self) -> str:
        return (self.folder / "envoy.log").read_text()


def _changed(
    held: Mapping[str, Resource], change: Callable[[listener_pb2.Listener], bool]
) -> dict[str, Resource]:
    found = {}
    for name, one in held.items():
        listener = listener_pb2.Listener()
        discovery_pb2.Resource.FromString(one.frame).resource.Unpack(listener)
        if change(listener):
            found[name] = resource(name, listener)
    return found


@contextlib.contextmanager
def running(
    folder: Path,
    snapshot: Snapshot,
    proxy: Proxy,
    identity: str,
    locality: str = "",
    authority: Authority | None = None,
    listeners: Callable[[listener_pb2.Listener], bool] | None = None,
) -> Iterator[Running]:
    """`identity`: the SPIFFE URI of the proxy's certificate; `authority`: who signs it, its own where none is given.
    `locality`: where the agent says that it is. `listeners` may change each, and says whether it is there."""
    compiler = Compiler(snapshot)
    ads, admin, authority = Ads(folder / "ads.sock"), free_port(), authority or Authority()
    for view in (compiler.shared(proxy.scope), compiler.own(proxy)):
        for kind, held in view.resources.items():
            ads.push(kind, _changed(held, listeners) if kind == LISTENER and listeners else held, set())
    assert not compiler.errors, compiler.errors
    ads.push(SECRET, authority.secrets(identity, "v1.client.client-v1.default.workload.mesh"), set())
    process = launched(folder, placed(bootstrap(folder, {}, admin), locality))
    found = Running(folder, snapshot, compiler, ads, admin, process, authority)

    def ready() -> bool:
        assert process.poll() is None, found.log()
        return httpx.get(f"http://127.0.0.1:{admin}/ready", trust_env=False).status_code == 200

    try:
        until(ready, "Envoy is ready")
        until(ads.settled, "Envoy answers all that was sent")
        assert not ads.refused, ads.refused
        yield found
    finally:
        process.kill()
        process.wait()
        ads.stop()


@contextlib.contextmanager
def answering(name: str, protocol: str = "http") -> Iterator[int]:
    """The echo application on a free port of the loopback."""
    import sys

    port = free_port()
    script = Path(__file__).parent.parent / "apps" / "echo.py"
    process = subprocess.Popen([sys.executable, script, str(port), "--name", name, "--protocol", protocol])

    def listening() -> bool:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True

    try:
        until(listening, f"{name} listens")
        yield port
    finally:
        process.kill()
        process.wait()
