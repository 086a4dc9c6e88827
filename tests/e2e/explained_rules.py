"""Random VirtualServices, for the evaluator against real Envoy."""

from __future__ import annotations

from typing import Any

from tests.e2e.explained_edges import (
    GATEWAY_PORT,
    LOOKED_UP,
    PORTS,
    SUFFIX,
    TCP_PORT,
    TLS_PORT,
    WILD,
    Edges,
    written,
)

PATHS = ("/", "/a", "/a/", "/a/b", "/A", "/ab", "/b", "/a/1", "/a/12", "/b/c/d", "/Ab/c", "/long/path/x.html")
REGEXES = (
    "/a.*",
    "/[ab]",
    "/(a|b)/.*",
    r"/a/\d+",
    "/a/?",
    ".*",
    "/.*[.]html",
    "(?i)/A/B",
    "/a|/b",
    "/[^a].*",
    r"/\w+/b",
)
VALUES = ("", "x", "xy", "X", "y", "a,b", "jason", "1", "2")
VALUE_REGEXES = (".*", "x.*", "[xy]+", "jason|x", r"\d", "x,y", "(x|y)(,.*)?")
HEADERS = ("x-a", "x-b", "x-user", "X-Mixed", "user", "accept", "Host")
QUERIES = ("q", "r", "Q")
SUBNETS = ("127.1.0.0/24", "10.9.0.0/24", "10.9.0.0/16", "10.0.0.0/8", "10.8.0.0/16")
FOR_BROWSERS = tuple(
    f"access-control-{name}"
    for name in (
        "allow-origin",
        "allow-credentials",
        "allow-methods",
        "allow-headers",
        "max-age",
        "expose-headers",
    )
)


class Rules(Edges):
    def _name(self) -> str:
        """A host as configuration writes it."""
        return str(
            self.one(
                "alpha", "alpha", "beta", f"alpha.default.{SUFFIX}", f"gamma.default.{SUFFIX}", f"delta.other.{SUFFIX}",
                "gamma.example.test", "*.example.test", "only.test", "*.only.test", f"*.default.{SUFFIX}",
                f"*.{SUFFIX}", "a.example.test", f"*{WILD}", f"a{WILD}",
            )
        )  # fmt: skip

    def _gateways(self) -> list[str]:
        return list(self.one([], [], [], ["mesh", "gw-0"], ["gw-0"], ["gw-0", "gw-1"], ["mesh"]))

    def _virtual_service(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "hosts": sorted({self._name() for _ in range(self.random.randint(1, 2))}),
            "http": [self._rule(number) for number in range(self.random.randint(1, 5))],
        }
        if self.chance(20):
            spec["tcp"] = [self._l4(self._tcp_match()) for _ in range(self.one(1, 1, 2, 3))]
        if self.chance(20):
            spec["tls"] = [
                self._l4(
                    {"sniHosts": [self.one(*spec["hosts"])]}
                    | self.one({}, {"port": TLS_PORT})
                    | self.one({}, {}, {"destinationSubnets": self.some(SUBNETS, 1, 2)})
                )
                for _ in range(self.one(1, 2))
            ]
        if gateways := self._gateways():
            spec["gateways"] = gateways
        if self.chance(10):
            spec["exportTo"] = [self.one(".", "other", "*")]
        namespace = self.one("default", "default", "default", "other")
        return written("VirtualService", name, namespace, spec)

    def _tcp_match(self) -> dict[str, Any] | None:
        match: dict[str, Any] = {"port": self.one(TCP_PORT, TLS_PORT)} if self.chance(50) else {}
        if self.chance(35):
            match["destinationSubnets"] = self.some(SUBNETS, 1, 2)
        if self.chance(35):
            match["sourceSubnet"] = self.one(*SUBNETS)
        return match or None

    def _l4(self, match: dict[str, Any] | None) -> dict[str, Any]:
        if match is not None and self.chance(20):
            match["sourceLabels"] = self.one({"app": "client"}, {"app": "other"})
        rule: dict[str, Any] = {
            "route": [
                {
                    "destination": {
                        "host": self.one("alpha", "beta"),
                        "port": {"number": self.one(TCP_PORT, TLS_PORT, 80)},
                    }
                }
            ]
        }
        if match is not None:
            rule["match"] = [match]
        return rule

    def _delegate(self) -> dict[str, Any]:
        rules = [self._rule(number) for number in range(self.random.randint(1, 3))]
        for rule in rules:
            rule.pop("delegate", None)
            rule.setdefault("route", [{"destination": {"host": "beta"}}] if "redirect" not in rule else [])
            if not rule["route"] or "directResponse" in rule:
                rule.pop("route")
        return written("VirtualService", "delegate", "default", {"http": rules})

    def _rule(self, number: int) -> dict[str, Any]:
        rule: dict[str, Any] = {"name": f"r{number}"}
        if matches := [self._match() for _ in range(self.one(0, 1, 1, 1, 2))]:
            rule["match"] = matches
        kind = self.random.randrange(100)
        if kind < 12:
            rule["redirect"] = self._redirect()
        elif kind < 20:
            rule["directResponse"] = {
                "status": self.one(200, 403, 503, 418, 201, 302, 429),
                "body": {"string": f"direct {number}"},
            }
        elif kind < 26:
            rule["delegate"] = {"name": "delegate", "namespace": "default"}
        else:
            rule["route"] = self._destinations()
            if self.chance(35):
                rule["rewrite"] = self._rewrite()
            if self.chance(45):
                rule["retries"] = self._retries()
            if self.chance(25):
                rule["timeout"] = self.one("5s", "20s")
            rule |= self._mirrors()
        if self.chance(20) and "delegate" not in rule:
            rule["fault"] = self.one(
                {"abort": {"httpStatus": self.one(418, 500), "percentage": {"value": self.one(0, 100)}}},
                {"delay": {"fixedDelay": "1ms", "percentage": {"value": self.one(0, 100)}}},
                {
                    "abort": {
                        "grpcStatus": self.one(
                            "UNAVAILABLE",
                            "NOT_FOUND",
                            "OK",
                            "ABORTED",
                            "UNKNOWN",
                            "DATA_LOSS",
                            "CANCELLED",
                            "UNIMPLEMENTED",
                        ),
                        "percentage": {"value": 100},
                    }
                },
            )
        if self.chance(25):
            rule["headers"] = self._operations()
        if self.chance(25) and "delegate" not in rule:
            rule["corsPolicy"] = self._for_browsers()
        return rule

    def _for_browsers(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "allowOrigins": [
                self.one({"exact": "https://a.test"}, {"prefix": "https://"}, {"regex": ".*b.test"})
            ]
        }
        for name, values in (
            ("allowMethods", (["GET"], ["GET", "PUT"])),
            ("allowHeaders", (["x-a"], ["x-a", "x-b"])),
            ("exposeHeaders", (["x-r"],)),
            ("maxAge", ("1s", "24h", "1500ms")),
            ("allowCredentials", (True, False)),
            ("unmatchedPreflights", ("IGNORE", "FORWARD")),
        ):
            if self.chance(50):
                found[name] = self.one(*values)
        return found

    def _retries(self) -> dict[str, Any]:
        if self.chance(15):
            return {"attempts": 0}
        found: dict[str, Any] = {"attempts": self.one(1, 3)}
        if self.chance(60):
            found["retryOn"] = self.one(
                "5xx",
                "gateway-error",
                "reset",
                "503",
                "500",
                "connect-failure,refused-stream",
                "retriable-4xx,503",
            )
        if self.chance(40):
            found["perTryTimeout"] = self.one("3s", "30s")
        return found

    def _mirrors(self) -> dict[str, Any]:
        if self.chance(25):
            percent = {"mirrorPercentage": {"value": self.one(0, 100)}} if self.chance(50) else {}
            return {"mirror": self._destination()} | percent
        if self.chance(15):
            return {
                "mirrors": [
                    {"destination": self._destination()}
                    | self.one({}, {"percentage": {"value": self.one(0, 100)}})
                    for _ in range(self.one(1, 2))
                ]
            }
        return {}

    def _string(self, exact: tuple[str, ...], regexes: tuple[str, ...]) -> dict[str, str]:
        kind = self.one("exact", "prefix", "prefix", "regex")
        return {kind: str(self.one(*(regexes if kind == "regex" else exact)))}

    def _match(self) -> dict[str, Any]:
        match: dict[str, Any] = {}
        if self.chance(75):
            match["uri"] = self._string(PATHS, REGEXES)
            if self.chance(15):
                match["ignoreUriCase"] = True
        if self.chance(20):
            match["headers"] = {
                name: self._string(VALUES, VALUE_REGEXES) if self.chance(80) else {}
                for name in self.some(HEADERS, 1, 2)
            }
        if self.chance(6):
            match.setdefault("headers", {})["x-forwarded-proto"] = {"exact": self.one("http", "https")}
        if self.chance(12):
            match["withoutHeaders"] = {
                name: self._string(VALUES, VALUE_REGEXES) if self.chance(70) else {}
                for name in self.some(HEADERS, 1, 2)
            }
        if self.chance(15):
            match["queryParams"] = {
                name: self._string(VALUES, VALUE_REGEXES) for name in self.some(QUERIES, 1, 2)
            }
        if self.chance(12):
            match["method"] = self.one(
                {"exact": "GET"}, {"exact": "POST"}, {"prefix": "P"}, {"regex": "GET|PUT"}
            )
        if self.chance(8):
            match["authority"] = self.one(
                {"prefix": "alpha"}, {"exact": "alpha"}, {"regex": ".*:80"}, {"exact": "beta:9080"}
            )
        if self.chance(5):
            match["scheme"] = self.one({"exact": "http"}, {"exact": "https"})
        if self.chance(8):
            match["port"] = self.one(*PORTS, GATEWAY_PORT)
        if self.chance(8):
            match["sourceLabels"] = self.one({"app": "client"}, {"app": "other"}, {"tier": "front"})
        if self.chance(4):
            match["sourceNamespace"] = self.one("default", "other")
        if self.chance(5):
            match["gateways"] = [self.one("mesh", "gw-0")]
        return match

    def _destination(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "host": self.one(
                *["alpha", "beta", f"delta.other.{SUFFIX}"] * 4,
                "gamma",
                "gamma.example.test",
                "nobody",
                f"*{WILD}",
                f"*{WILD}",
            )
        }
        if found["host"] == f"*{WILD}":
            if self.chance(70):
                found["port"] = {"number": self.endpoints.get(LOOKED_UP, 80)}
            return found
        if self.chance(60):
            found["port"] = {"number": self.one(*[80, 9080] * 8, 7)}
        if self.chance(30):
            found["subset"] = self.one(*["v1", "v2"] * 4, "none")
        return found

    def _destinations(self) -> list[dict[str, Any]]:
        found = []
        for _ in range(self.one(1, 1, 1, 2, 3)):
            one: dict[str, Any] = {"destination": self._destination()}
            if self.chance(20):
                one["headers"] = self._operations()
            found.append(one)
        if len(found) > 1:
            for one in found:
                one["weight"] = self.one(0, 1, 50)
            if not any(one["weight"] for one in found):
                found[0]["weight"] = 1
        return found

    def _operations(self) -> dict[str, Any]:
        request: dict[str, Any] = {}
        if self.chance(60):
            request["set"] = {
                str(self.one("x-a", "x-new", "X-User", "Host")): str(self.one("x", "set.test", ""))
            }
        if self.chance(50):
            request["add"] = {str(self.one("x-a", "x-new", "x-b")): str(self.one("y", "added", ""))}
        if self.chance(40):
            request["remove"] = [self.one("x-b", "x-a", "X-User", "user")]
        response: dict[str, Any] = {}
        if self.chance(40):
            response["set"] = {
                str(self.one("x-r", "x-b", "X-New", FOR_BROWSERS[0])): str(self.one("1", "set", ""))
            }
        if self.chance(40):
            response["add"] = {str(self.one("x-r", "x-b", "X-Added")): str(self.one("y", "added"))}
        if self.chance(30):
            response["remove"] = [self.one("x-b", "X-R", "x-new")]
        found = {"request": request, "response": response}
        return {side: said for side, said in found.items() if said} or {"response": {"set": {"x-r": "1"}}}

    def _rewrite(self) -> dict[str, Any]:
        kind = self.random.randrange(10)
        found: dict[str, Any] = {}
        if kind < 5:
            found["uri"] = self.one("/", "/new", "/new/", "/n?w=1")
        elif kind < 7:
            found["uriRegexRewrite"] = self.one(
                {"match": "^/a/(.*)$", "rewrite": "/z/\\1"},
                {"match": "b", "rewrite": "BB"},
                {"match": "/([^/]+)/?", "rewrite": "/\\1\\1"},
                {"match": "x*", "rewrite": "-"},
            )
        if kind >= 6:
            found["authority"] = self.one(
                "written.test", "alpha", "written.test:81", f"b{WILD}:{self.endpoints.get(LOOKED_UP, 80)}"
            )
        return found

    def _redirect(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.chance(50):
            found["uri"] = self.one("/moved", "/moved?m=1", "/")
        if self.chance(50) or not found:
            found["authority"] = self.one("else.test", "else.test:8443")
        if self.chance(30):
            found["scheme"] = self.one("https", "http")
        if self.chance(40):
            found["redirectCode"] = self.one(302, 303, 307, 308, 301)
        if self.chance(20):
            found["port"] = self.one(8443, 443, 80)
        elif self.chance(20):
            found["derivePort"] = self.one("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT")
        return found
