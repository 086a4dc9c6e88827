"""RequestAuthentication as filters: what Envoy is told of each rule, and what changes when something of it does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from argosy.model.facts import Fact
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.model.tokens import KeySource
from argosy.translate import extension, names
from argosy.translate.compiler import Compiler
from argosy.translate.proxy import Proxy
from argosy.translate.resource import EXTENSION, LISTENER
from tests.tokens import key, key_set
from tests.unit.translate.mesh import decoded, populate, put

KEYS = key_set(key("ES256", "a"))


def policy(name: str, *rules: dict[str, Any], **more: Any) -> str:
    body = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"jwtRules": list(rules), **more},
    }
    return json.dumps(body)


def rule(issuer: str = "a", **more: Any) -> dict[str, Any]:
    return {"issuer": issuer, "jwks": KEYS, **more}


class Sidecar:
    """That of reviews, whose port is HTTP."""

    def __init__(self, *texts: str, type_: ProxyType = ProxyType.SIDECAR) -> None:
        self.snapshot = Snapshot()
        populate(self.snapshot)
        for text in texts:
            put(self.snapshot, text)
        scope = scope_of(Reader(self.snapshot), type=type_, namespace="default", labels=())
        self.compiler = Compiler(self.snapshot)
        self.own = self.compiler.own(Proxy(namespace="default", name="reviews-v1", scope=scope))

    def config(self, name: str = names.REQUEST_AUTHENTICATION) -> dict[str, Any]:
        found: dict[str, Any] = decoded(self.own.resources[EXTENSION][name])["typed_config"]
        found.pop("@type")
        return found

    def apply(self, facts: set[Fact]) -> dict[str, set[str]]:
        """Type -> names of what changed."""
        found: dict[str, set[str]] = {}
        for _, changes in self.compiler.apply(facts):
            for kind, (upserts, removals) in changes.items():
                found.setdefault(kind, set()).update(upserts, removals)
        return found


def test_without_policies_both_places_are_empty() -> None:
    sidecar = Sidecar()
    assert sidecar.config() == {}
    assert sidecar.config(names.CLAIM_HEADERS) == {}


def test_every_field_of_a_rule() -> None:
    written = rule(
        "https://a",
        audiences=["b"],
        fromHeaders=[{"name": "X-Token", "prefix": "Token "}],
        fromParams=["t"],
        fromCookies=["c"],
        outputPayloadToHeader="X-Payload",
        forwardOriginalToken=True,
        outputClaimToHeaders=[{"header": "X-Sub", "claim": "sub.of"}],
        spaceDelimitedClaims=["roles", "scope"],
    )
    sidecar = Sidecar(policy("a", written))
    assert sidecar.config() == {
        "providers": {
            "origins-0": {
                "issuer": "https://a",
                "audiences": ["b"],
                "local_jwks": {"inline_string": sidecar_keys()},
                "forward": True,
                "from_headers": [{"name": "x-token", "value_prefix": "Token "}],
                "from_params": ["t"],
                "from_cookies": ["c"],
                "forward_payload_header": "x-payload",
                "payload_in_metadata": "payload",
                "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission", "roles"]},
                "claim_to_headers": [{"header_name": "x-sub", "claim_name": "sub.of"}],
                "jwt_cache_config": {"jwt_cache_size": 500},
            }
        },
        "rules": [{"match": {"prefix": "/"}, "requires": optional(0)}],
        "bypass_cors_preflight": True,
    }
    removed = [{"remove": "x-payload"}, {"remove": "x-sub"}]
    assert sidecar.config(names.CLAIM_HEADERS) == {"mutations": {"request_mutations": removed}}


def sidecar_keys() -> str:
    return json.dumps(json.loads(KEYS), sort_keys=True, separators=(",", ":"))


def optional(index: int) -> dict[str, Any]:
    return {"requires_any": {"requirements": [required(index), {"allow_missing": {}}]}}


def required(index: int) -> dict[str, Any]:
    return {"provider_name": f"origins-{index}"}


def every(*requirements: dict[str, Any]) -> dict[str, Any]:
    return {"requires_all": {"requirements": list(requirements)}}


@pytest.mark.parametrize(
    ("presences", "expected"),
    [
        (["OPTIONAL"], optional(0)),
        (["REQUIRED"], required(0)),
        (
            ["OPTIONAL", "OPTIONAL"],
            {"requires_any": {"requirements": [required(0), required(1), every(optional(0), optional(1))]}},
        ),
        (["REQUIRED", "OPTIONAL"], every(required(0), optional(1))),
        (["REQUIRED", "REQUIRED"], every(required(0), required(1))),
    ],
)
def test_which_rules_must_be_satisfied(presences: list[str], expected: dict[str, Any]) -> None:
    rules = [rule(f"issuer-{index}", presence=one) for index, one in enumerate(presences)]
    (found,) = Sidecar(policy("a", *rules)).config()["rules"]
    assert found["requires"] == expected


def test_the_route_is_chosen_again_at_gateways_alone() -> None:
    def reroutes(*, gateway: bool) -> bool:
        rules = Reader(Sidecar(policy("a", rule())).snapshot).token_rules("default", ())
        made = decoded(
            extension.request_authentication(
                extension.RequestAuthenticationKey(rules=rules, reroutes=gateway)
            )
        )
        return bool(made["typed_config"]["providers"]["origins-0"].get("clear_route_cache"))

    assert not reroutes(gateway=False)
    assert reroutes(gateway=True)


def test_no_listener_changes_when_a_policy_comes_and_goes() -> None:
    sidecar = Sidecar()
    told = rule(outputClaimToHeaders=[{"header": "x-sub", "claim": "sub"}])
    changed = sidecar.apply(put(sidecar.snapshot, policy("a", told)))
    assert changed == {EXTENSION: {names.REQUEST_AUTHENTICATION, names.CLAIM_HEADERS}}
    changed = sidecar.apply(sidecar.snapshot.remove_config("RequestAuthentication", "default", "a"))
    assert changed == {EXTENSION: {names.REQUEST_AUTHENTICATION, names.CLAIM_HEADERS}}
    assert sidecar.config() == {}


def test_keys_that_are_fetched_change_the_filter_alone() -> None:
    fetched = {"issuer": "a", "jwksUri": "https://a.example/keys", "outputPayloadToHeader": "x-payload"}
    sidecar = Sidecar(policy("a", fetched))
    assert sidecar.config()["providers"]["origins-0"]["local_jwks"] == {"inline_string": ""}
    source = KeySource("https://a.example/keys")
    changed = sidecar.apply(sidecar.snapshot.request_authentications.put_key_set(source, KEYS))
    assert changed == {EXTENSION: {names.REQUEST_AUTHENTICATION}}
    assert sidecar.config()["providers"]["origins-0"]["local_jwks"] == {"inline_string": KEYS}


def test_a_policy_for_others_changes_nothing() -> None:
    sidecar = Sidecar()
    other = policy("a", rule(), selector={"matchLabels": {"app": "other"}})
    assert sidecar.apply(put(sidecar.snapshot, other)) == {}


def test_proxies_with_the_same_rules_share_the_bytes() -> None:
    one, other = Sidecar(policy("a", rule())), Sidecar(policy("b", rule()))
    held = [made.own.resources[EXTENSION][names.REQUEST_AUTHENTICATION] for made in (one, other)]
    assert held[0] is held[1]


def test_ports_that_are_no_http_have_no_place_for_tokens() -> None:
    sidecar = Sidecar()
    scope = scope_of(Reader(sidecar.snapshot), type=ProxyType.SIDECAR, namespace="default", labels=())
    own = sidecar.compiler.own(Proxy(namespace="default", name="cache-v1", scope=scope))
    assert LISTENER in own.resources
    assert not own.resources[EXTENSION].keys() & {names.CLAIM_HEADERS, names.REQUEST_AUTHENTICATION}
