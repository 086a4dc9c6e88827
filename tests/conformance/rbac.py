"""A small interpreter of Envoy's RBAC and ext_authz filters, for comparing two chains of them by what they decide.

It reads protobuf messages, whatever made them, and takes nothing of the program. What Envoy does stands beside it in
tests/e2e/test_authorization.py.
# Envoy: config/rbac/v3/rbac.proto, type/matcher/v3
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as network_ext_authz_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_pb2
from envoy.extensions.path.match.uri_template.v3 import uri_template_match_pb2
from google.protobuf import json_format
from msgspec import Struct, field

KINDS = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (http_pb2.RBAC, network_pb2.RBAC, ext_authz_pb2.ExtAuthz, network_ext_authz_pb2.ExtAuthz)
}


class Request(Struct, kw_only=True):
    """`metadata`: filter -> values; `headers`: with the pseudo headers, in lower case."""

    identity: str | None = None  # the URI of the peer's certificate
    headers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    source: str = "127.0.0.1"
    remote: str = "127.0.0.1"
    destination: str = "1.1.1.1"
    port: int = 80
    sni: str = ""


class Outcome(Struct, kw_only=True, frozen=True):
    """What a chain makes of a request. Names of rules are Istio's; "none": no rule of an ALLOW held."""

    denied: str = ""  # by which rule
    audited: str = ""
    asked: str = ""  # because of which rule
    shadows: tuple[tuple[str, str], ...] = ()  # prefix of the dry run -> rule


def read(filters: Iterable[dict[str, Any]]) -> list[Any]:
    """The filters of these kinds, in their order; from JSON in either spelling."""
    found = []
    for one in filters:
        config = dict(one.get("typedConfig") or one.get("typed_config") or {})
        kind = KINDS.get(config.pop("@type", "").rpartition("/")[2])
        if kind is not None:
            found.append(json_format.ParseDict(config, kind()))
    return found


def outcome(filters: Iterable[Any], request: Request) -> Outcome:
    denied = audited = asked = ""
    shadows: dict[str, str] = {}
    noted: dict[str, str] = {}  # dynamic metadata of RBAC: key -> rule
    for one in filters:
        if hasattr(one, "failure_mode_allow"):
            if _is_asked(one, noted):
                asked = next(iter(noted.values()))
            continue
        if one.HasField("shadow_rules"):
            rule = first(one.shadow_rules, request)
            if one.shadow_rules_stat_prefix == "istio_ext_authz_":
                if rule:
                    noted["istio_ext_authz_shadow_effective_policy_id"] = rule
            else:
                shadows[one.shadow_rules_stat_prefix] = rule
        if not one.HasField("rules"):
            continue
        rule = first(one.rules, request)
        match one.rules.action:
            case rbac_pb2.RBAC.LOG:
                audited = rule
            case rbac_pb2.RBAC.DENY if rule:
                denied = rule
            case rbac_pb2.RBAC.ALLOW if not rule:
                denied = "none"
        if denied:
            break
    return Outcome(denied=denied, audited=audited, asked=asked, shadows=tuple(sorted(shadows.items())))


def _is_asked(one: Any, noted: dict[str, str]) -> bool:
    wanted = one.filter_enabled_metadata
    (segment,) = wanted.path
    value = noted.get(segment.key)
    return value is not None and _text(wanted.value.string_match, value)


def first(rules: Any, request: Request) -> str:
    """The rule that decides: the first by name of those that hold; "": none."""
    for name, policy in sorted(rules.policies.items()):
        allowed = any(permission(one, request) for one in policy.permissions)
        if allowed and any(principal(one, request) for one in policy.principals):
            return str(name)
    return ""


Parts = dict[str, tuple[tuple[bool, ...], ...]]


def parts(filters: Iterable[Any], request: Request) -> Parts:
    """Rule -> whether each condition of each of its alternatives holds: so rules whose conditions contradict each other
    are compared too. Conditions of one alternative in no order."""
    found: Parts = {}
    for one in filters:
        for rules in (getattr(one, "rules", None), getattr(one, "shadow_rules", None)):
            for name, policy in rules.policies.items() if rules is not None else ():
                found[name] = (
                    *(_each(one.and_rules.rules or [one], permission, request) for one in policy.permissions),
                    *(_each(one.and_ids.ids or [one], principal, request) for one in policy.principals),
                )
    return found


def _each(
    conditions: Iterable[Any], holds: Callable[[Any, Request], bool], request: Request
) -> tuple[bool, ...]:
    return tuple(sorted(holds(one, request) for one in conditions))


# --- permissions and principals -------------------------------------------------------------------------------------


def permission(one: Any, request: Request) -> bool:
    kind = one.WhichOneof("rule")
    value = getattr(one, kind)
    match kind:
        case "any":
            return True
        case "and_rules":
            return all(permission(each, request) for each in value.rules)
        case "or_rules":
            return any(permission(each, request) for each in value.rules)
        case "not_rule":
            return not permission(value, request)
        case "header":
            return _header(value, request)
        case "url_path":
            return _text(value.path, _path(request))
        case "uri_template":
            return _template(value, _path(request))
        case "destination_ip":
            return _within(value, request.destination)
        case "destination_port":
            return bool(value == request.port)
        case "requested_server_name":
            return _text(value, request.sni)
        case "metadata":
            return _metadata(value, request)
        case "sourced_metadata":
            return _metadata(value.metadata_matcher, request)
    raise AssertionError(f"no such permission: {kind}")


def principal(one: Any, request: Request) -> bool:
    kind = one.WhichOneof("identifier")
    value = getattr(one, kind)
    match kind:
        case "any":
            return True
        case "and_ids":
            return all(principal(each, request) for each in value.ids)
        case "or_ids":
            return any(principal(each, request) for each in value.ids)
        case "not_id":
            return not principal(value, request)
        case "authenticated":
            return request.identity is not None and _text(value.principal_name, request.identity)
        case "header":
            return _header(value, request)
        case "direct_remote_ip":
            return _within(value, request.source)
        case "remote_ip":
            return _within(value, request.remote)
        case "metadata":
            return _metadata(value, request)
        case "sourced_metadata":
            return _metadata(value.metadata_matcher, request)
    raise AssertionError(f"no such principal: {kind}")


# --- matchers -------------------------------------------------------------------------------------------------------


def _path(request: Request) -> str:
    return re.split("[?#]", request.headers.get(":path", ""), maxsplit=1)[0]


def _text(matcher: Any, value: str) -> bool:
    kind = matcher.WhichOneof("match_pattern")
    wanted = getattr(matcher, kind)
    if kind == "safe_regex":
        return re.fullmatch(wanted.regex, value) is not None
    if matcher.ignore_case:
        wanted, value = wanted.lower(), value.lower()
    match kind:
        case "exact":
            return bool(value == wanted)
        case "prefix":
            return bool(value.startswith(wanted))
        case "suffix":
            return value.endswith(wanted)
        case "contains":
            return wanted in value
    raise AssertionError(f"no such text: {kind}")


def _header(matcher: route_components_pb2.HeaderMatcher, request: Request) -> bool:
    value = request.headers.get(matcher.name.lower())
    kind = matcher.WhichOneof("header_match_specifier")
    if kind == "present_match":
        found = (value is not None) == matcher.present_match
    else:
        assert kind == "string_match"
        found = value is not None and _text(matcher.string_match, value)
    return bool(found != matcher.invert_match)


def _template(extension: Any, path: str) -> bool:
    config = uri_template_match_pb2.UriTemplateMatchConfig()
    assert extension.typed_config.Unpack(config)
    parts = re.split(r"(\*\*|\*)", config.path_template)
    regex = "".join({"*": "[^/]+", "**": ".*"}.get(part) or re.escape(part) for part in parts)
    return re.fullmatch(regex, path) is not None


def _within(block: Any, address: str) -> bool:
    network = ip_network(f"{block.address_prefix}/{block.prefix_len.value}", strict=False)
    return ip_address(address) in network


def _metadata(matcher: Any, request: Request) -> bool:
    value: Any = request.metadata.get(matcher.filter)
    for segment in matcher.path:
        value = value.get(segment.key) if isinstance(value, dict) else None
    return bool(_value(matcher.value, value) != matcher.invert)


def _value(matcher: Any, value: Any) -> bool:
    kind = matcher.WhichOneof("match_pattern")
    wanted = getattr(matcher, kind)
    match kind:
        case "string_match":
            return isinstance(value, str) and _text(wanted, value)
        case "list_match":
            return isinstance(value, list) and any(_value(wanted.one_of, each) for each in value)
        case "or_match":
            return any(_value(each, value) for each in wanted.value_matchers)
    raise AssertionError(f"no such value: {kind}")
