"""RequestAuthentication: whose tokens (JWT) are taken.

Two places in the chain, both delivered by ECDS, so that no listener changes when a policy comes, goes, or keys rotate:
one takes out of a request the headers in which claims are told, whoever wrote them; the other verifies tokens. Where
there is no policy both are empty. While one is missing Envoy answers 500 and lets nothing in.

Envoy's own removal is not enough: it takes out the headers of the rules that it has asked, and of several it asks until
one is satisfied; and of a CORS preflight it asks none.

Facts (Istio): claims are metadata `envoy.filters.http.jwt_authn`, key `payload`; preflights of browsers carry no tokens
and are passed on; at gateways the route is chosen again once the token is read. A rule without keys refuses its tokens.
"""

from __future__ import annotations

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from argosy.model.ir.tokens import DELIMITED, TokenRule
from argosy.translate import names, wire
from argosy.translate.resource import TYPE

PAYLOAD = "payload"
"""Under which key of the metadata the claims are."""

REMEMBERED = 500
"""Tokens of one rule, of up to 4 KiB each, whose signature a proxy remembers to have verified: a request costs ten
times as much without (bench/tokens.py). Issuer, time, audience are looked at each time; new keys make it forget all."""


def http_filters() -> tuple[http_connection_manager_pb2.HttpFilter, ...]:
    """The places in the chain: what is there comes by ECDS."""
    return (
        _place(names.CLAIM_HEADERS, header_mutation_pb2.HeaderMutation.DESCRIPTOR.full_name),
        _place(names.REQUEST_AUTHENTICATION, config_pb2.JwtAuthentication.DESCRIPTOR.full_name),
    )


def _place(name: str, type_name: str) -> http_connection_manager_pb2.HttpFilter:
    out = http_connection_manager_pb2.HttpFilter(name=name)
    out.config_discovery.config_source.CopyFrom(wire.ads())
    out.config_discovery.type_urls.append(TYPE + type_name)
    return out


def claim_headers(headers: tuple[str, ...]) -> header_mutation_pb2.HeaderMutation:
    """Takes out what only a token may say."""
    out = header_mutation_pb2.HeaderMutation()
    for name in headers:
        out.mutations.request_mutations.append(mutation_rules_pb2.HeaderMutation(remove=name))
    return out


def config(rules: tuple[TokenRule, ...], reroutes: bool) -> config_pb2.JwtAuthentication:
    """`reroutes`: whether the route is chosen again where there was a valid token."""
    out = config_pb2.JwtAuthentication()
    if not rules:
        return out
    out.bypass_cors_preflight = True
    for index, rule in enumerate(rules):
        out.providers[_provider(index)].CopyFrom(_verified(rule, reroutes))
    out.rules.add(requires=_required(rules)).match.prefix = "/"
    return out


def _provider(index: int) -> str:
    return f"origins-{index}"


def _verified(rule: TokenRule, reroutes: bool) -> config_pb2.JwtProvider:
    out = config_pb2.JwtProvider(
        issuer=rule.issuer,
        audiences=rule.audiences,
        forward=rule.forward,
        from_params=rule.params,
        from_cookies=rule.cookies,
        forward_payload_header=rule.payload_header,
        payload_in_metadata=PAYLOAD,
        clear_route_cache=reroutes,
    )
    out.local_jwks.inline_string = rule.keys
    out.jwt_cache_config.jwt_cache_size = REMEMBERED
    for header in rule.headers:
        out.from_headers.add(name=header.name, value_prefix=header.prefix)
    for told in rule.claim_headers:
        out.claim_to_headers.add(header_name=told.header, claim_name=told.claim)
    delimited = dict.fromkeys((*DELIMITED, *rule.space_delimited))
    out.normalize_payload_in_metadata.space_delimited_claims.extend(delimited)
    return out


def _required(rules: tuple[TokenRule, ...]) -> config_pb2.JwtRequirement:
    """See `ir.tokens`: which rules must be satisfied."""
    asked = [_asked(index, rule) for index, rule in enumerate(rules)]
    if len(asked) == 1:
        return asked[0]
    each = config_pb2.JwtRequirement()
    each.requires_all.requirements.extend(asked)
    if any(rule.required for rule in rules):
        return each
    some = config_pb2.JwtRequirement()
    some.requires_any.requirements.extend(
        config_pb2.JwtRequirement(provider_name=_provider(index)) for index in range(len(rules))
    )
    some.requires_any.requirements.append(each)
    return some


def _asked(index: int, rule: TokenRule) -> config_pb2.JwtRequirement:
    satisfied = config_pb2.JwtRequirement(provider_name=_provider(index))
    if rule.required:
        return satisfied
    missing = config_pb2.JwtRequirement()
    missing.allow_missing.SetInParent()
    out = config_pb2.JwtRequirement()
    out.requires_any.requirements.extend((satisfied, missing))
    return out
