"""Random requests around what authorization policies say: near what a rule wants, and beside it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from random import Random
from typing import Any

from tests.conformance.rbac import Request

JWT = "envoy.filters.http.jwt_authn"
OTHERS = ("else", "x", "", "a-b")


class Sampler:
    def __init__(self, random: Random, policies: list[dict[str, Any]], mesh: dict[str, Any]) -> None:
        self.random = random
        self.rules = [rule for one in policies for rule in one["spec"].get("rules") or [{}]]
        self.namespaces = [one["metadata"].get("namespace", "default") for one in policies]
        self.domains = [
            mesh.get("trustDomain", "cluster.local"),
            *mesh.get("trustDomainAliases", ()),
            "cluster.local",
            "else",
        ]

    def requests(self, count: int) -> Iterator[Request]:
        for _ in range(count):
            yield self.request()

    def request(self) -> Request:
        """What one rule wants, by one of its values each; then some of it is spoilt."""
        made = Request(
            headers={":authority": "else.com", ":method": "GET", ":path": "/else"},
            port=self.random.choice((80, 90, 91, 8000, 8080, 9090)),
            identity=self._identity("else"),
        )
        wanted = self._wanted(self.random.choice(self.rules)) if self.rules else []
        spoilt = self.random.sample(range(len(wanted)), min(len(wanted), self.random.choice((0, 0, 1, 2, 4))))
        for at, (key, values, not_values) in enumerate(wanted):
            pool = not_values if at in spoilt and not_values else values
            if pool:
                self._set(made, key, self.random.choice(pool), spoil=at in spoilt and pool is values)
        if self.random.random() < 0.1:
            made.identity = None
        return made

    def _wanted(self, rule: dict[str, Any]) -> list[tuple[str, list[str], list[str]]]:
        """(attribute, values, notValues)."""
        found: list[tuple[str, list[str], list[str]]] = []
        for part, name in (("from", "source"), ("to", "operation")):
            if listed := rule.get(part):
                said = self.random.choice(listed).get(name) or {}
                for key in said:
                    plain = key[3:4].lower() + key[4:] if key.startswith("not") else key
                    other = f"not{plain[0].upper()}{plain[1:]}"
                    entry = (plain, said.get(plain) or [], said.get(other) or [])
                    if entry not in found:
                        found.append(entry)
        for one in rule.get("when") or ():
            found.append((one["key"], one.get("values") or [], one.get("notValues") or []))
        return found

    # --- one attribute --------------------------------------------------------------------------------------------

    def _set(self, made: Request, key: str, value: str, spoil: bool) -> None:
        match key:
            case "principals" | "source.principal":
                text = self._spoilt(self._text(value), spoil)
                domain, slash, rest = text.partition("/")
                if slash and self.random.random() < 0.6:
                    text = f"{self.random.choice([domain, *self.domains])}/{rest}"
                made.identity = f"spiffe://{text}"
            case "namespaces" | "source.namespace":
                made.identity = self._identity(self._spoilt(self._anywhere(value), spoil))
            case "serviceAccounts" | "source.serviceAccount":
                namespace, _, name = value.rpartition("/")
                namespace = namespace or self.random.choice(self.namespaces)
                made.identity = self._identity(namespace, self._spoilt(name, spoil))
            case "trustDomains" | "source.trustDomain":
                made.identity = f"spiffe://{self._spoilt(self._anywhere(value), spoil)}/ns/a/sa/b"
            case "ipBlocks" | "source.ip":
                made.source = self._address(value, spoil)
            case "remoteIpBlocks" | "remote.ip":
                made.remote = self._address(value, spoil)
            case "destination.ip":
                made.destination = self._address(value, spoil)
            case "ports" | "destination.port":
                made.port = int(value) + spoil
            case "hosts":
                made.headers[":authority"] = self._cased(self._spoilt(self._text(value), spoil))
            case "methods":
                made.headers[":method"] = self._spoilt(self._text(value), spoil)
            case "paths":
                path = value.replace("{**}", self.random.choice(("", "a", "a/b"))).replace("{*}", "seg")
                query = self.random.choice(("", "", "?a=b", "#c"))
                made.headers[":path"] = self._spoilt(self._text(path), spoil) + query
            case "connection.sni":
                made.sni = self._spoilt(self._text(value), spoil)
            case _:
                self._set_value(made, key, value, spoil)

    def _set_value(self, made: Request, key: str, value: str, spoil: bool) -> None:
        payload = made.metadata.setdefault(JWT, {}).setdefault("payload", {})
        name, _, inside = key.partition("[")
        match name:
            case "requestPrincipals" | "request.auth.principal":
                issuer, _, subject = value.rpartition("/") if "/" in value else (value, "", "me")
                if value.startswith("*") and "/" not in value:
                    issuer, subject = "me", value
                payload["iss"] = self._spoilt(self._text(issuer), spoil)
                payload["sub"] = self._text(subject) if self.random.random() < 0.9 else ""
            case "request.auth.audiences" | "request.auth.presenter":
                claim = "aud" if name.endswith("audiences") else "azp"
                payload[claim] = self._listed(self._spoilt(self._text(value), spoil))
            case "request.auth.claims":
                *path, last = inside[:-1].split("][")
                place = payload
                for step in path:
                    place = place.setdefault(step, {})
                place[last] = self._listed(self._spoilt(self._text(value), spoil))
            case "request.headers":
                made.headers[inside[:-1].lower()] = self._spoilt(self._text(value), spoil)
            case _:
                assert name.startswith("experimental."), key
                text = self._spoilt(self._text(value.strip("[]")), spoil)
                held = made.metadata.setdefault(name.removeprefix("experimental."), {})
                held[inside[:-1]] = self._listed(text)

    # --- values ---------------------------------------------------------------------------------------------------

    def _identity(self, namespace: str, name: str = "sa") -> str:
        domain = self.random.choice(self.domains)
        tail = self.random.choice(("", "", "", "/more"))
        return f"spiffe://{domain}/ns/{namespace}/sa/{name}{tail}"

    def _text(self, pattern: str) -> str:
        if pattern == "*":
            return self.random.choice(OTHERS)
        if pattern.startswith("*"):
            return self.random.choice(OTHERS) + pattern[1:]
        if pattern.endswith("*"):
            return pattern[:-1] + self.random.choice(OTHERS)
        return pattern

    def _anywhere(self, pattern: str) -> str:
        return self.random.choice(OTHERS).join(pattern.split("*"))

    def _spoilt(self, value: str, spoil: bool) -> str:
        if not spoil:
            return value
        return self.random.choice((f"{value}x", f"x{value}", value[:-1], value.swapcase(), "else", value))

    def _cased(self, value: str) -> str:
        return value.upper() if self.random.random() < 0.3 else value

    def _listed(self, value: str) -> Any:
        return self.random.choice((value, [value], ["else", value], []))

    def _address(self, block: str, spoil: bool) -> str:
        network = ip_network(block, strict=False)
        inside = network.network_address + self.random.randrange(network.num_addresses)
        return str(network.broadcast_address + 1) if spoil else str(inside)
