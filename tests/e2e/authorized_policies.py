"""Random policies, and calls drawn from what they ask for, slightly bent: most are close to where a verdict changes.

Every value comes from small pools in which one is nearly another; wildcards cut a value anywhere. A call is made to
satisfy a rule, and then one thing of it is changed, or nothing, or all of it is drawn anew.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from argosy.resources.kinds import decode
from argosy.resources.meta import Object
from argosy.resources.security import AuthorizationPolicy, RequestAuthentication
from argosy.resources.validation import validate
from tests.e2e.authorized_call import HTTP_PORT, PORTS, SECOND_PORT, SOURCES, TCP_PORT, Call
from tests.e2e.authorized_tokens import TOKEN_CONDITIONS, TOKEN_SOURCES, Tokens

ROOT, SHOP, OTHER = "istio-system", "shop", "other"
LABELS = (("app", "web"), ("version", "v1"))
PROVIDER = "asked"
DRY_RUN = "istio.io/dry-run"

IDENTITIES: tuple[tuple[str, ...], ...] = (
    (),  # plaintext
    ("spiffe://cluster.local/ns/shop/sa/web",),
    ("spiffe://cluster.local/ns/shop/sa/web-2",),
    ("spiffe://cluster.local/ns/shop-2/sa/web",),
    ("spiffe://cluster.local/ns/billing/sa/cron",),
    ("spiffe://old.test/ns/shop/sa/web",),
    ("spiffe://else.where/ns/shop/sa/web",),
    ("spiffe://else.where/vm/shop",),
    ("spiffe://else.where/cluster/c/ns/shop/sa/web/pod/x",),
    ("https://cluster.local/ns/shop/sa/web",),
    ("spiffe://cluster.local/ns/billing/sa/web", "spiffe://else.where/ns/shop/sa/cron"),
)
PRINCIPALS = tuple(one.removeprefix("spiffe://") for each in IDENTITIES for one in each)
NAMESPACES = ("shop", "shop-2", "billing", "sa")
ACCOUNTS = ("shop/web", "shop/web-2", "billing/cron", "web")
DOMAINS = ("cluster.local", "old.test", "else.where", "cluster.loca")
BLOCKS = (
    "127.0.0.1",
    "127.0.0.0/30",
    "127.0.0.8/29",
    "127.0.0.0/24",
    "127.0.0.0/8",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
)
REMOTES = ("10.0.0.7", "10.1.0.7", "192.0.2.1", "2001:db8::1")
REMOTE_BLOCKS = (*BLOCKS, "10.0.0.0/16", "192.0.2.1/32", "2001:db8::/32")
METHODS = ("GET", "POST", "DELETE", "PATCH")
ASKED_METHODS = (*METHODS, "get", "POS")
HOSTS = (
    "reviews",
    "reviews:8080",
    "reviews.shop",
    "Reviews.shop.svc.cluster.local",
    "api.example.test",
    "example.test",
)
PATHS = ("/", "/a", "/api", "/api/", "/api/v1", "/api/v1/items", "/api/v1/items/7", "/admin", "/a/b/c", "/api/v1;x=1",
         "/api/%41", "/a%20b", "/x~y", "/api/*")  # fmt: skip
ODD_PATHS = (
    "/api/../admin",
    "/api//v1",
    "/API",
    "/api/./v1",
    "/api/%2e%2e/admin",
    "/a%2Fb",
    "/%61pi",
    "/api\\v1",
)
TEMPLATES = (
    "/api/{*}",
    "/{*}/v1",
    "/api/{**}",
    "/{**}",
    "/{*}",
    "/api/{*}/items/{**}",
    "/{**}/items",
    "/{*}/{*}/items",
    "/api/{*}1",
)
HEADERS = ("x-user", "x-group", "User-Agent", "x-forwarded-for")
TEXTS = ("alice", "alic", "bob", "alice, bob", "alice,bob", "", "Alice")
NAMES = ("outbound_.8080_._.reviews.shop.svc.cluster.local", "reviews.shop", "reviews", "api.example.test")

Spec = dict[str, Any]
Pool = TypeVar("Pool")


class Policies(Tokens):
    # --- policies ---------------------------------------------------------------------------------------------------

    def policies(self) -> list[Object]:
        """Some for the workload, some for others; all valid."""
        made = [partial(self.policy, f"policy-{number}") for number in range(self.one(1, 1, 2, 2, 3, 4, 6))]
        for number in range(self.one(0, 0, 1, 1, 2)):
            made.append(partial(self.token_policy, f"tokens-{number}"))
        found = []
        for one in made:
            while not validate(written := one()).valid:
                pass
            found.append(decode(written))
        return found

    def token_policy(self, name: str) -> Spec:
        return self.request_authentication(name, {"metadata": self.metadata(name), "spec": self.selector()})

    def metadata(self, name: str) -> Spec:
        return {
            "name": name,
            "namespace": self.one(*[SHOP] * 5, ROOT, ROOT, OTHER),
            "creationTimestamp": f"2026-01-0{self.random.randint(1, 9)}T00:00:00Z",
        }

    def selector(self) -> Spec:
        labels = self.one(
            {}, {}, {"app": "web"}, {"app": "web", "version": "v1"}, {"app": "web", "version": "v2"}
        )
        return {"selector": {"matchLabels": labels}} if labels else {}

    def policy(self, name: str) -> Spec:
        action = self.one(*["ALLOW"] * 6, *["DENY"] * 3, "AUDIT", *["CUSTOM"] * 3)
        spec: Spec = {"action": action, **self.selector()}
        count = self.one(0, 1, 1, 1, 2, 2, 3) if action in ("ALLOW", "AUDIT") else self.one(1, 1, 2)
        spec["rules"] = [self.rule(action) for _ in range(count)]
        if action == "CUSTOM":
            spec["provider"] = {"name": PROVIDER}
        annotations = {}
        if action in ("ALLOW", "DENY") and self.chance(15):
            annotations[DRY_RUN] = self.one("true", "true", "false")
        return {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {**self.metadata(name), "annotations": annotations},
            "spec": spec,
        }

    def rule(self, action: str) -> Spec:
        rule: Spec = {}
        sources, operations = self.meant(self.sources(action)), self.meant(OPERATIONS)
        keys = dict(CONDITIONS) if action == "CUSTOM" else CONDITIONS | PROVEN_CONDITIONS | TOKEN_CONDITIONS
        keys = self.meant(keys)
        if sources and self.chance(50):
            rule["from"] = [{"source": self.fields(sources)} for _ in range(self.one(1, 1, 2))]
        if operations and self.chance(50):
            rule["to"] = [{"operation": self.fields(operations)} for _ in range(self.one(1, 1, 2))]
        if keys and self.chance(30):
            rule["when"] = [self.condition(keys) for _ in range(self.one(1, 1, 2))]
        return rule

    def meant(self, pools: dict[str, Pool]) -> dict[str, Pool]:
        return {name: pool for name, pool in pools.items() if not self.about or name in self.about}

    def sources(self, action: str) -> dict[str, tuple[str, ...]]:
        custom = {"ipBlocks": BLOCKS, "remoteIpBlocks": REMOTE_BLOCKS}
        if action == "CUSTOM":
            return custom
        proven = (
            {"serviceAccounts": ACCOUNTS}
            if self.chance(20)
            else {"principals": PRINCIPALS, "namespaces": NAMESPACES}
        )
        return {**custom, **proven, "trustDomains": DOMAINS, **TOKEN_SOURCES}

    def fields(self, pools: dict[str, tuple[str, ...]]) -> Spec:
        """One field or two, some of them excepting."""
        found: Spec = {}
        for name in self.random.sample(sorted(pools), min(len(pools), self.one(1, 1, 2))):
            negated = f"not{name[0].upper()}{name[1:]}"
            values = self.values(name, pools[name])
            found[negated if self.chance(25) else name] = values
            if self.chance(10):
                found[name] = self.values(name, pools[name])
        return found

    def values(self, name: str, pool: tuple[str, ...]) -> list[str]:
        return [self.value(name, self.one(*filter(None, pool))) for _ in range(self.one(1, 1, 2, 3))]

    def value(self, name: str, value: str) -> str:
        if name == "paths" and self.chance(25):
            return self.one(*TEMPLATES)  # type: ignore[no-any-return]
        if name in ("ports", "ipBlocks", "remoteIpBlocks", "serviceAccounts") or self.chance(50):
            return value
        cut = self.random.randint(1, max(1, len(value) - 1))
        if name in ("namespaces", "trustDomains") and self.chance(30):
            return f"{value[:cut]}*{value[cut + 1 :]}"
        return self.one(f"{value[:cut]}*", f"{value[:cut]}*", f"*{value[cut:]}", f"*{value[cut:]}", "*")  # type: ignore[no-any-return]

    def condition(self, keys: dict[str, tuple[str, tuple[str, ...]]]) -> Spec:
        key = self.one(*keys)
        name, pool = keys[key]
        condition: Spec = {"key": key}
        if self.chance(70):
            condition["values"] = self.values(name, pool)
        if "values" not in condition or self.chance(10):
            condition["notValues"] = self.values(name, pool)
        return condition

    # --- calls ------------------------------------------------------------------------------------------------------

    def call(self, policies: list[Object]) -> Call:
        call = self.anything()
        rules = [
            rule for one in policies if isinstance(one, AuthorizationPolicy) for rule in one.spec.rules or ()
        ]
        if rules and self.chance(90):
            self.satisfy(self.one(*rules), call)
            for _ in range(self.one(0, 0, 1, 1, 2)):
                self.bend(call)
        tokens = any(isinstance(one, RequestAuthentication) for one in policies)
        if call.http and self.chance(75 if call.claims and tokens else 50 if tokens else 5):
            self.carry(call, self.token(call.claims))
        return call

    def anything(self) -> Call:
        call = Call(
            port=self.one(HTTP_PORT, HTTP_PORT, HTTP_PORT, SECOND_PORT, TCP_PORT),
            identities=self.one(*IDENTITIES),
            source=self.one(*SOURCES),
            server_name=self.one("", *NAMES),
            method=self.one(*METHODS),
            path=self.one(*PATHS),
            authority=self.one(*HOSTS),
            consents=self.chance(50),
        )
        for name in HEADERS:
            if self.chance(20):
                call.headers.append((name, self.header_value(name)))
        return call

    def header_value(self, name: str) -> str:
        if name == "x-forwarded-for":
            return ", ".join(self.one(*REMOTES, *REMOTES, "nobody") for _ in range(self.one(1, 1, 2)))
        return self.one(*TEXTS)  # type: ignore[no-any-return]

    def bend(self, call: Call) -> None:
        """One thing of it becomes another."""
        other = self.anything()
        what = self.one(
            "identities", "source", "method", "path", "authority", "headers", "port", "server_name", "odd"
        )
        if what == "odd":
            call.path = self.one(
                *ODD_PATHS, call.path + "?a=1", call.path + "x", call.path[:-1] or "/", call.path + "/"
            )
        elif what == "headers" and call.headers:
            at = self.random.randrange(len(call.headers))
            name, _ = call.headers[at]
            self.one(lambda: call.headers.pop(at), lambda: call.headers.insert(at, (name, self.header_value(name))),
                     lambda: call.headers.__setitem__(at, (name, self.header_value(name))))()  # fmt: skip
        else:
            setattr(call, what, getattr(other, what))

    def satisfy(self, rule: Any, call: Call) -> None:
        """What it asks for, as far as that can be had."""
        if rule.from_:
            source = self.one(*rule.from_).source
            wanted = {
                "principals": source.principals, "namespaces": source.namespaces, "trustDomains": source.trust_domains,
                "serviceAccounts": source.service_accounts, "ipBlocks": source.ip_blocks,
                "remoteIpBlocks": source.remote_ip_blocks, "requestPrincipals": source.request_principals,
            }  # fmt: skip
            self.take(wanted, call)
        if rule.to:
            operation = self.one(*rule.to).operation
            self.take({"hosts": operation.hosts, "ports": operation.ports, "methods": operation.methods,
                       "paths": operation.paths}, call)  # fmt: skip
        for one in rule.when:
            self.take({one.key: one.values}, call)

    def take(self, wanted: dict[str, tuple[str, ...]], call: Call) -> None:
        for name, values in wanted.items():
            if values:
                self.set(name, self.one(*values), call)

    def set(self, name: str, value: str, call: Call) -> None:
        text = value.replace("*", self.one("", "x", "web", "/"))
        match name:
            case (
                "principals"
                | "source.principal"
                | "namespaces"
                | "source.namespace"
                | "trustDomains"
                | "serviceAccounts"
                | "source.serviceAccount"
            ):
                bare = value.replace("*", "")
                near = [
                    one
                    for one in IDENTITIES
                    if any(bare in uri or bare.replace("/", "/sa/") in uri for uri in one)
                ]
                call.identities = self.one(*(near or IDENTITIES))
            case _ if name in TOKEN_SOURCES or name.startswith("request.auth."):
                self.claim(name, value, call)
            case "hosts":
                call.authority = text.strip("/") or "reviews"
                call.authority = self.one(call.authority, call.authority, call.authority.swapcase())
            case "ports" | "destination.port":
                call.port = int(value) if int(value) in PORTS else call.port
            case "methods":
                bare = value.replace("*", "")
                call.method = self.one(*[one for one in METHODS if bare in one] or METHODS)
            case "paths":
                text = value.replace("{**}", self.one("", "a", "a/b")).replace(
                    "{*}", self.one("a", "v1", "", "x*")
                )
                text = text.replace("*", self.one("", "x", "/", "?a=1"))
                call.path = text if text.startswith("/") else f"/{text}"
            case "connection.sni":
                call.server_name = text.strip("/.") or "x"
            case _ if name.startswith("request.headers["):
                call.headers.append((name[16:-1], value.replace("*", self.one("", "x"))))


OPERATIONS = {
    "hosts": HOSTS,
    "ports": tuple(map(str, (*PORTS, 80))),
    "methods": ASKED_METHODS,
    "paths": PATHS,
}
CONDITIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "request.headers[x-user]": ("", TEXTS),
    "request.headers[X-Group]": ("", TEXTS),
    "request.headers[user-agent]": ("", TEXTS),
    "source.ip": ("ipBlocks", BLOCKS),
    "remote.ip": ("ipBlocks", REMOTE_BLOCKS),
    "destination.ip": ("ipBlocks", BLOCKS),
    "destination.port": ("ports", tuple(map(str, PORTS))),
    "connection.sni": ("", NAMES),
}
PROVEN_CONDITIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "source.principal": ("principals", PRINCIPALS),
    "source.namespace": ("namespaces", NAMESPACES),
    "source.serviceAccount": ("serviceAccounts", ACCOUNTS),
}
