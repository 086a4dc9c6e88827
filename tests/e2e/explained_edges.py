"""Random Gateways and Sidecars, for the evaluator against real Envoy: what is served, and what is seen."""

from __future__ import annotations

import random
from typing import Any

from argosy.explain.request import Certified

SUFFIX = "svc.cluster.local"
GATEWAY_LABELS = (("istio", "ingress"),)
GATEWAY_PORT = 8080
TCP_PORT, TLS_PORT = 6379, 8443
ENDS_PORT = 8444
"""Of a gateway, where all TLS ends."""
PORTS = (80, 9080)
CREDENTIAL = "edge"
FILES = {
    "serverCertificate": "/edge/chain.pem",
    "privateKey": "/edge/key.pem",
    "caCertificates": "/edge/roots.pem",
}
"""The same certificates as files of the proxy."""
OF_MESH = ("spiffe://cluster.local/ns/default/sa/caller", "caller.test")
OF_OUTSIDE = ("spiffe://outside.test/caller", "*.outside.test")
"""Names of clients of gateways."""
CLIENT_NAMES = (*OF_MESH, "CALLER.test", OF_OUTSIDE[0], "a.outside.test", "a.b.outside.test", "nobody.test")
NO_SPKI = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
NO_DIGEST = "00" * 32
WILD = ".wild.test"
"""Names under it may be looked up."""
LOOKED_UP = ("wild", "")
"""Of the endpoints: of all these names."""
UNKNOWN = "nobody.invalid"
UPSTREAMS = (
    ("alpha", 80),
    ("alpha", 6379),
    ("beta.default", 9080),
    (f"delta.other.{SUFFIX}", 80),
    ("nobody", 80),
)
"""That the sender has declared."""
BOUND_ADDRESS, BOUND_PORT = "127.0.0.2", 9080
"""That a Sidecar listens on by itself."""


class Dice:
    """Choices by a seed."""

    def __init__(
        self, seed: int, endpoints: dict[tuple[str, str], int], callers: tuple[Certified, ...] = ()
    ) -> None:
        """`endpoints`: (service, version) -> port on the loopback where it answers. `callers`: certificates of the
        clients of gateways."""
        self.callers = callers
        self.random = random.Random(seed)
        self.endpoints = endpoints

    def one(self, *items: Any) -> Any:
        return self.random.choice(items)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def some(self, items: tuple[Any, ...], least: int, most: int) -> list[Any]:
        return self.random.sample(items, min(self.random.randint(least, most), len(items)))


class Edges(Dice):
    def _gateway(self, name: str) -> dict[str, Any]:
        servers = []
        for number in range(self.random.randint(1, 2)):
            server: dict[str, Any] = {
                "port": {"number": GATEWAY_PORT, "name": f"http-{number}", "protocol": "HTTP"},
                "hosts": self.one(
                    ["*"],
                    ["*.test"],
                    ["default/*"],
                    ["other/*"],
                    [f"*.{SUFFIX}"],
                    ["only.test", "./*.example.test"],
                ),
            }
            if self.chance(10):
                server["tls"] = {"httpsRedirect": True}
            servers.append(server)
        if self.chance(40):
            servers.append(
                {
                    "port": {"number": 15443, "name": "mesh", "protocol": "TLS"},
                    "hosts": self.one(
                        ["*"], [f"*.{SUFFIX}"], [f"alpha.default.{SUFFIX}"], [f"*.default.{SUFFIX}"]
                    ),
                    "tls": {"mode": "AUTO_PASSTHROUGH"},
                }
            )
        for port, protocol in ((8443, "TLS"), (9000, "TCP")):
            if self.chance(40):
                other: dict[str, Any] = {
                    "port": {"number": port, "name": f"{protocol.lower()}-{name}", "protocol": protocol},
                    "hosts": self.one(["*"], ["*.test"], [f"*.{SUFFIX}"], ["default/*"]),
                }
                if protocol == "TLS":
                    other["tls"] = {"mode": "PASSTHROUGH"}
                servers.append(other)
        for number in range(self.one(0, 1, 2, 2)):
            servers.append(
                {
                    "port": {
                        "number": self.one(TLS_PORT, ENDS_PORT),
                        "name": f"ends-{name}-{number}",
                        "protocol": self.one("TLS", "HTTPS"),
                    },
                    "hosts": self.one(["*"], ["*.test"], [f"*.{SUFFIX}"], ["only.test"], ["a.example.test"]),
                    "tls": self._ends_here(),
                }
            )
        return written("Gateway", name, "default", {"selector": dict(GATEWAY_LABELS), "servers": servers})

    def _ends_here(self) -> dict[str, Any]:
        """TLS that ends at a gateway."""
        mode = self.one("SIMPLE", "MUTUAL", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL", "ISTIO_MUTUAL")
        tls: dict[str, Any] = {"mode": mode}
        if mode != "ISTIO_MUTUAL":
            tls |= self.one({"credentialName": CREDENTIAL}, FILES)
        if self.chance(40):
            tls["subjectAltNames"] = self.some(CLIENT_NAMES, 1, 3)
        if self.chance(25):
            tls["verifyCertificateSpki"] = [self.one("", *(one.spki for one in self.callers)) or NO_SPKI]
        if self.chance(25):
            tls["verifyCertificateHash"] = [self.one("", *(one.digest for one in self.callers)) or NO_DIGEST]
        if self.chance(15) and mode != "ISTIO_MUTUAL":
            tls["insecureSkipVerify"] = True
        return tls

    def _at_edge(self, name: str) -> dict[str, Any]:
        """What the ports of gateways that are not plain HTTP's lead to."""
        hosts = self.some(
            (
                "only.test",
                "*.test",
                "a.example.test",
                f"*.{SUFFIX}",
                f"alpha.default.{SUFFIX}",
                f"a{WILD}",
                f"*{WILD}",
            ),
            1,
            3,
        )
        to = [
            {"destination": {"host": host, "port": {"number": number}}}
            for host in ("alpha", "beta", f"delta.other.{SUFFIX}")
            for number in (TLS_PORT, TCP_PORT, *PORTS)
        ]
        if LOOKED_UP in self.endpoints:
            looked_up = {"host": f"*{WILD}", "port": {"number": self.endpoints[LOOKED_UP]}}
            to += [{"destination": looked_up}] * 3
        sources: tuple[dict[str, str], ...] = ({}, {"sourceSubnet": "127.1.0.0/24"})
        spec: dict[str, Any] = {
            "hosts": hosts,
            "gateways": self.one(["gw-0"], ["gw-0", "gw-1"]),
            "tls": [{"match": [{"sniHosts": [host]}], "route": [self.one(*to)]} for host in hosts],
            "tcp": [
                {
                    "match": [self.one({}, {"port": 9000}, {"port": ENDS_PORT}) | self.one(*sources)],
                    "route": [self.one(*to)],
                }
                for _ in range(self.one(1, 2))
            ],
        }  # fmt: skip
        if self.chance(50):
            spec["http"] = [{"name": "edge", "route": [self.one(*to)]}]
        return written("VirtualService", name, "default", spec)

    def _sidecar(self) -> dict[str, Any]:
        """It holds for the sender, or for everybody in its namespace."""
        egress: list[dict[str, Any]] = [{"hosts": self._imported()}]
        if self.chance(40):
            port = {"number": self.one(*PORTS, TCP_PORT), "name": "p", "protocol": self.one("HTTP", "TCP")}
            egress.append({"port": port, "hosts": self._imported()})
        if self.chance(70):
            port = {"number": BOUND_PORT, "name": "own", "protocol": "HTTP"}
            own = {"port": port, "bind": BOUND_ADDRESS, "captureMode": "NONE", "hosts": self._imported()}
            egress.insert(0, own)
        spec: dict[str, Any] = {"egress": egress}
        if self.chance(50):
            spec["workloadSelector"] = {"labels": {"app": self.one("client", "client", "other")}}
        if self.chance(40):
            spec["outboundTrafficPolicy"] = {"mode": self.one("REGISTRY_ONLY", "ALLOW_ANY")}
        return written("Sidecar", "sidecar", "default", spec)

    def _imported(self) -> list[str]:
        return [
            str(one)
            for one in self.some(
                ("./*", "*/*", "other/*", f"default/alpha.default.{SUFFIX}", f"*/beta.default.{SUFFIX}", "./only.test",
                 "*/*.example.test", f"~default/alpha.default.{SUFFIX}", "~*/*"), 1, 3)
        ]  # fmt: skip


def written(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
