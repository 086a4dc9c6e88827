"""Random requests near what a random configuration matches."""

from __future__ import annotations

from functools import cached_property
from random import Random
from typing import Any

from argosy.explain.request import Request, Spoken
from tests.e2e.explained_edges import GATEWAY_PORT, LOOKED_UP, PORTS, SUFFIX, WILD
from tests.e2e.explained_mesh import GATEWAY_HOST, Configurations, Mesh
from tests.e2e.explained_rules import HEADERS, PATHS, REGEXES, VALUES
from tests.e2e.explained_upstreams import FAILS

ODD_PATHS = ("//a//b", "/a%2f%2e%2e/b", "/a%5Cb?q=%2F", "/b//c%2Fd", "/a%00b", "/a/%2Fb", "//")
CONTENT_TYPES = (
    "application/grpc",
    "application/grpc",
    "application/grpc+proto",
    "application/grpc;x",
    "text/plain",
)


def _is_for(obj: dict[str, Any], entry: str) -> bool:
    """Whether a VirtualService is asked at this entry."""
    gateways = obj["spec"].get("gateways", ["mesh"])
    return any((one != "mesh") is (entry == "gateway") for one in gateways)


class Generator(Configurations):
    """Of a configuration and of the requests to it, by one seed."""

    @cached_property
    def oddities(self) -> Random:
        """Of its own, so that configurations stay what they are by their seeds."""
        return Random(repr(self.random.getstate()[1][:8]))

    def request(self, mesh: Mesh, entry: str) -> Request:
        """`entry`: proxy, captured or gateway. Made from a rule of the configuration, then perhaps changed a little."""
        rules = [
            (obj, rule)
            for obj in mesh.objects
            if obj["kind"] == "VirtualService"
            for rule in obj["spec"].get("http", ())
        ]
        likely = [one for one in rules if _is_for(one[0], entry)]
        if likely and self.chance(80):
            rules = likely
        obj, rule = self.one(*rules) if rules and self.chance(85) else (None, {})
        match = self.one(*rule["match"]) if rule.get("match") else {}
        hosts = obj["spec"].get("hosts") if obj else None
        port = self.one(*PORTS)
        path = self._fitting(match.get("uri"), PATHS, REGEXES)
        if not path.startswith("/") or self.chance(15):
            path = str(
                self.one(
                    *PATHS,
                    "/a/../b",
                    "/a/./b",
                    "/a//b",
                    "/a%2Fb",
                    "/%61",
                    "/a/..",
                    "/b/%2e%2e/a",
                    "/a%20b",
                    "/a/..;x/b",
                    "/a|b",
                    "/a%3fb",
                    "/b\\c",
                )
            )
        query = [
            f"{name}={self._fitting(wanted, VALUES, ())}"
            for name, wanted in match.get("queryParams", {}).items()
        ]
        if self.chance(25):
            query.append(str(self.one("q=x", "q", "r=1", "q=1&q=2", "z=%20", "")))
        if query:
            path += "?" + "&".join(query)
        headers: list[tuple[str, str]] = []
        for name, wanted in match.get("headers", {}).items():
            values = VALUES[1:] if name == "x-forwarded-proto" else VALUES  # an empty one has no route at all
            if name != "Host":
                headers.append((name, self._fitting(wanted, values, ())))
        for name in match.get("withoutHeaders", {}):
            if self.chance(30) and name != "Host":
                headers.append((name, str(self.one(*VALUES))))
        if self.chance(30):
            headers.append((str(self.one(*HEADERS[:-1])), str(self.one(*VALUES))))
        if self.chance(10):
            headers.append((str(self.one("x-a", "X-A")), "y"))
        if self.chance(6):
            headers.append(("x-forwarded-proto", "https"))
            port = self.one(port, 443)
        if self.chance(18):
            headers.append((FAILS, str(self.one("503", "reset", "reset"))))
        preflight = "corsPolicy" in rule and self.chance(60)
        if "corsPolicy" in rule or self.chance(2):
            headers.append(("origin", str(self.one("https://a.test", "http://b.test", "http://c.test"))))
            if self.chance(90):
                headers.append(("access-control-request-method", "GET"))
        method = self._fitting(match.get("method"), ("GET", "POST"), ())
        if method not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            method = "PUT"
        authority = self._authority(mesh, hosts, port, entry)
        if self.chance(60) and (wanted := match.get("authority")):
            authority = self._fitting(wanted, (authority,), ()).partition("/")[0] or authority
        if self.oddities.random() < 0.1:
            path = self.oddities.choice(ODD_PATHS)
        if self.oddities.random() < 0.04:
            headers.append((self.oddities.choice(("x_under", "X_Under")), "z"))
        grpc = "grpcStatus" in rule.get("fault", {}).get("abort", {})
        if self.oddities.random() < 0.03:
            headers.append(("connection", self.oddities.choice(("x-a", "X-B, x-user", "keep-alive"))))
        if self.oddities.random() < 0.03:
            headers.append(("x-a", self.oddities.choice((" y", "x  "))))
        if self.oddities.random() < (0.7 if grpc else 0.15):
            headers.append(("content-type", self.oddities.choice(CONTENT_TYPES)))
        return Request(
            authority=authority,
            method="OPTIONS"
            if preflight
            else method
            if self.chance(90)
            else str(self.one("GET", "POST", "PUT", "DELETE")),
            path=path,
            headers=tuple(headers),
            port={"gateway": GATEWAY_PORT, "captured": port}.get(entry, 80),
        )

    def tunnel(self, mesh: Mesh) -> Request:
        known = (one for host, one in mesh.snapshot.services.items() if host != GATEWAY_HOST)
        service = self.one(*known)
        port = self.one(*(one.number for one in service.ports)) if self.chance(90) else 81
        host = service.hostname.replace("*", "any")
        if self.chance(30):
            host = host.removesuffix(f".{SUFFIX}")
        if service.addresses and self.chance(50):
            host = self.one(*service.addresses)
        return Request(authority=f"{host}:{port}", spoken=Spoken.TCP, port=port)

    def _authority(self, mesh: Mesh, hosts: list[str] | None, port: int, entry: str) -> str:
        host = str(self.one(*hosts) if hosts and self.chance(85) else self._name())
        if entry != "gateway" and self.chance(50):
            known = [name for name in mesh.snapshot.services if "*" not in name and name != GATEWAY_HOST]
            ours = [one for one in hosts or () if self._full(one) in known]
            host = str(self.one(*(ours or known)))
        full = self._full(host)
        if host.startswith("*"):
            covered = [name for name in mesh.snapshot.services if name.endswith(host[1:])]
            if covered and self.chance(70):
                full = host = str(self.one(*covered))
            host = host.replace("*", str(self.one("a", "a.b", "alpha")), 1)
        if (
            host.endswith(WILD)
            and LOOKED_UP in self.endpoints
            and entry in ("proxy", "gateway")
            and self.chance(85)
        ):
            return f"{host}:{self.endpoints[LOOKED_UP]}"
        service = mesh.snapshot.services.get(full)
        if entry in ("proxy", "bound") and self.chance(85):
            port = self.one(*service.ports).number if service is not None else 80
        if host.endswith(SUFFIX) and self.chance(30):
            host = host.removesuffix(f".{SUFFIX}")
        if self.chance(5):
            host = host.upper()
        if self.chance(4):
            host = str(self.one("unknown.invalid", "127.0.0.1", "127.1.0.0"))
        with_port = {"proxy": 85, "bound": 50}.get(entry, 25)
        return f"{host}:{port}" if self.chance(with_port) else host

    def _full(self, host: str) -> str:
        return host if "." in host else f"{host}.default.{SUFFIX}"

    def _fitting(
        self, wanted: dict[str, str] | None, exact: tuple[str, ...], regexes: tuple[str, ...]
    ) -> str:
        """A value that a string match takes, as a rule."""
        if not wanted or self.chance(10):
            return str(self.one(*exact))
        kind, value = next(iter(wanted.items()))
        if kind == "exact":
            return value
        if kind == "prefix":
            return value + str(self.one("", "", "x", "/b", "/B"))
        return str(self.one(*exact))
