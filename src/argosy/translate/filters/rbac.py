"""Authorization policies as Envoy's RBAC: a policy of RBAC for each rule, called as Istio calls it.

Facts (Istio: pilot/pkg/security/authz/model): an identity is compared as SPIFFE has it; of `namespaces` whatever stands
between `/ns/` and the next slash; tokens are what `envoy.filters.http.jwt_authn` leaves under `payload`.
# Envoy: config.rbac.v3; the rules of one RBAC are looked at in the order of their names, and the first that holds is
# the one that is told of
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network

from envoy.config.core.v3 import address_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.path.match.uri_template.v3 import uri_template_match_pb2
from envoy.type.matcher.v3 import metadata_pb2, path_pb2, string_pb2, value_pb2
from msgspec.structs import replace

from argosy.model.ir.policies import (
    Attribute,
    AuthorizationPolicy,
    Condition,
    Conditions,
    Match,
    PolicyRule,
    TextMatch,
)
from argosy.translate import wire

JWT = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"
SPIFFE = "spiffe://"

Made = tuple[str, rbac_pb2.Policy]
"""A policy of RBAC, with its name."""

_OF_OPERATIONS = frozenset(
    (
        Attribute.HOST,
        Attribute.METHOD,
        Attribute.PATH,
        Attribute.DESTINATION_IP,
        Attribute.DESTINATION_PORT,
        Attribute.SNI,
        Attribute.METADATA,
    )
)


def rules(action: rbac_pb2.RBAC.Action, made: Iterable[Made]) -> rbac_pb2.RBAC:
    return rbac_pb2.RBAC(action=action, policies=dict(made))


def policies(of: AuthorizationPolicy, rule_of: Callable[[PolicyRule], PolicyRule | None]) -> Iterator[Made]:
    """`rule_of`: what a rule comes to where it is asked; None: it never holds there."""
    for index, written in enumerate(of.rules):
        rule = rule_of(written)
        if rule is not None:
            yield of.rule_name(index), _policy(rule)


def at_port(rule: PolicyRule, port: int) -> PolicyRule | None:
    """A rule where all connections come to one port of the workload, and Envoy sees another number. None: it never
    holds."""
    operations = [left for one in rule.operations if (left := _at_port(one, port)) is not None]
    when = _at_port(rule.when, port)
    if when is None or (rule.operations and not operations):
        return None
    return replace(rule, operations=tuple(operations), when=when)


def _at_port(conditions: Conditions, port: int) -> Conditions | None:
    number = str(port)
    for one in conditions:
        if one.attribute is Attribute.DESTINATION_PORT:
            named = {match.value for match in one.values}
            if (named and number not in named) or any(match.value == number for match in one.not_values):
                return None
    return tuple(one for one in conditions if one.attribute is not Attribute.DESTINATION_PORT)


def _policy(rule: PolicyRule) -> rbac_pb2.Policy:
    of_operations = tuple(one for one in rule.when if one.attribute in _OF_OPERATIONS)
    of_sources = tuple(one for one in rule.when if one.attribute not in _OF_OPERATIONS)
    return rbac_pb2.Policy(
        permissions=[_permission((*one, *of_operations)) for one in rule.operations or ((),)],
        principals=[_principal((*one, *of_sources)) for one in rule.sources or ((),)],
    )


# --- operations -----------------------------------------------------------------------------------------------------


def _permission(conditions: Conditions) -> rbac_pb2.Permission:
    every = [made for one in conditions for made in _permissions(one)]
    if len(every) > 1:
        return rbac_pb2.Permission(and_rules=rbac_pb2.Permission.Set(rules=every))
    return every[0] if every else rbac_pb2.Permission(any=True)


def _permissions(one: Condition) -> Iterator[rbac_pb2.Permission]:
    if one.values:
        yield _any_permission([_permission_of(one, match) for match in one.values])
    if one.not_values:
        yield rbac_pb2.Permission(
            not_rule=_any_permission([_permission_of(one, match) for match in one.not_values])
        )


def _any_permission(made: list[rbac_pb2.Permission]) -> rbac_pb2.Permission:
    return made[0] if len(made) == 1 else rbac_pb2.Permission(or_rules=rbac_pb2.Permission.Set(rules=made))


def _permission_of(one: Condition, match: Match) -> rbac_pb2.Permission:
    match one.attribute:
        case Attribute.HOST:
            return rbac_pb2.Permission(header=_header(":authority", match, any_case=True))
        case Attribute.METHOD:
            return rbac_pb2.Permission(header=_header(":method", match))
        case Attribute.PATH if match.kind is TextMatch.TEMPLATE:
            return rbac_pb2.Permission(uri_template=wire.extension("uri-template", _template(match.value)))
        case Attribute.PATH:
            return rbac_pb2.Permission(url_path=path_pb2.PathMatcher(path=text(match)))
        case Attribute.DESTINATION_IP:
            return rbac_pb2.Permission(destination_ip=_network(match))
        case Attribute.DESTINATION_PORT:
            return rbac_pb2.Permission(destination_port=int(match.value))
        case Attribute.SNI:
            return rbac_pb2.Permission(requested_server_name=text(match))
        case Attribute.METADATA:
            value = value_pb2.ValueMatcher(string_match=text(match))
            if match.in_list:
                value = value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=value))
            return rbac_pb2.Permission(metadata=_metadata(one.key[0], one.key[1:], value))
    raise AssertionError(one.attribute)


def _template(path: str) -> uri_template_match_pb2.UriTemplateMatchConfig:
    template = path.replace("{**}", "**").replace("{*}", "*")
    return uri_template_match_pb2.UriTemplateMatchConfig(path_template=template)


# --- sources --------------------------------------------------------------------------------------------------------


def _principal(conditions: Conditions) -> rbac_pb2.Principal:
    every = [made for one in conditions for made in _principals(one)]
    if len(every) > 1:
        return rbac_pb2.Principal(and_ids=rbac_pb2.Principal.Set(ids=every))
    return every[0] if every else rbac_pb2.Principal(any=True)


def _principals(one: Condition) -> Iterator[rbac_pb2.Principal]:
    if one.values:
        yield _any_principal([_principal_of(one, match) for match in one.values])
    if one.not_values:
        yield rbac_pb2.Principal(
            not_id=_any_principal([_principal_of(one, match) for match in one.not_values])
        )


def _any_principal(made: list[rbac_pb2.Principal]) -> rbac_pb2.Principal:
    return made[0] if len(made) == 1 else rbac_pb2.Principal(or_ids=rbac_pb2.Principal.Set(ids=made))


def _principal_of(one: Condition, match: Match) -> rbac_pb2.Principal:
    match one.attribute:
        case (
            Attribute.SOURCE_PRINCIPAL
            | Attribute.SOURCE_NAMESPACE
            | Attribute.SOURCE_SERVICE_ACCOUNT
            | Attribute.SOURCE_TRUST_DOMAIN
        ):
            name = identity(one.attribute, match)
            return rbac_pb2.Principal(authenticated=rbac_pb2.Principal.Authenticated(principal_name=name))
        case Attribute.SOURCE_IP:
            return rbac_pb2.Principal(direct_remote_ip=_network(match))
        case Attribute.REMOTE_IP:
            return rbac_pb2.Principal(remote_ip=_network(match))
        case Attribute.HEADER:
            return rbac_pb2.Principal(header=_header(one.key[0], match))
        case Attribute.REQUEST_PRINCIPAL:
            subject = match.subject or Match(TextMatch.PRESENT)
            pair = [_claim(("iss",), text(match)), _claim(("sub",), text(subject))]
            return rbac_pb2.Principal(and_ids=rbac_pb2.Principal.Set(ids=pair))
        case Attribute.AUDIENCES:
            return _claim_or_item(("aud",), match)
        case Attribute.PRESENTER:
            return _claim_or_item(("azp",), match)
        case Attribute.CLAIM:
            return _claim_or_item(one.key, match)
    raise AssertionError(one.attribute)


def identity(attribute: Attribute, match: Match) -> string_pb2.StringMatcher:
    """What the SPIFFE identity of the peer must be."""
    value = match.value
    match attribute:
        case Attribute.SOURCE_NAMESPACE:
            return _expression(f".*/ns/{_pattern(value)}/.*")
        case Attribute.SOURCE_SERVICE_ACCOUNT:
            namespace, _, name = value.partition("/")
            return _expression(f"{SPIFFE}.+/ns/{re.escape(namespace)}/(.+/|)sa/{re.escape(name)}(/.+)?")
        case Attribute.SOURCE_TRUST_DOMAIN:
            return _expression(f"{SPIFFE}{_pattern(value)}/.*")
    match match.kind:
        case TextMatch.PRESENT:
            return _expression(".+")
        case TextMatch.SUFFIX:
            return _expression(f"{SPIFFE}.*{re.escape(value)}")
    return text(Match(match.kind, f"{SPIFFE}{value}"))


def _pattern(value: str) -> str:
    return ".*".join(re.escape(part) for part in value.split("*"))


def _claim_or_item(path: tuple[str, ...], match: Match) -> rbac_pb2.Principal:
    """The claim, or ANY item of it where it is a list."""
    value = value_pb2.ValueMatcher(string_match=text(match))
    item = value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=value))
    either = value_pb2.ValueMatcher(or_match=value_pb2.OrMatcher(value_matchers=[item, value]))
    return rbac_pb2.Principal(metadata=_metadata(JWT, (PAYLOAD, *path), either))


def _claim(path: tuple[str, ...], value: string_pb2.StringMatcher) -> rbac_pb2.Principal:
    matcher = value_pb2.ValueMatcher(string_match=value)
    return rbac_pb2.Principal(metadata=_metadata(JWT, (PAYLOAD, *path), matcher))


# --- values ---------------------------------------------------------------------------------------------------------


def text(match: Match) -> string_pb2.StringMatcher:
    match match.kind:
        case TextMatch.PRESENT:
            return _expression(".+")
        case TextMatch.PREFIX:
            return string_pb2.StringMatcher(prefix=match.value)
        case TextMatch.SUFFIX:
            return string_pb2.StringMatcher(suffix=match.value)
    return string_pb2.StringMatcher(exact=match.value)


def _header(name: str, match: Match, *, any_case: bool = False) -> route_components_pb2.HeaderMatcher:
    if match.kind is TextMatch.PRESENT:
        return route_components_pb2.HeaderMatcher(name=name, present_match=True)
    value = text(match)
    value.ignore_case = any_case
    return route_components_pb2.HeaderMatcher(name=name, string_match=value)


def _metadata(
    filter_name: str, path: tuple[str, ...], value: value_pb2.ValueMatcher
) -> metadata_pb2.MetadataMatcher:
    segments = [metadata_pb2.MetadataMatcher.PathSegment(key=one) for one in path]
    return metadata_pb2.MetadataMatcher(filter=filter_name, path=segments, value=value)


def _network(match: Match) -> address_pb2.CidrRange:
    one = ip_network(match.value)
    return address_pb2.CidrRange(
        address_prefix=str(one.network_address), prefix_len=wire.uint32(one.prefixlen)
    )


def _expression(regex: str) -> string_pb2.StringMatcher:
    out = string_pb2.StringMatcher()
    out.safe_regex.regex = regex
    return out
