"""Authorization: the places of its filters in a chain, and what stands in them.

A place is there whether any policy is or not, and what is in it comes by ECDS: a policy that comes, changes or goes
never changes a listener, and applies at once to connections that are open. A place without policies holds an RBAC
without rules, which lets everything pass. There is no default: while a place's configuration is missing nothing passes.

Facts (Istio): CUSTOM before all tokens are looked at, so that who is asked may write one; then AUDIT, DENY, ALLOW. A
rule of CUSTOM is a shadow rule, whose name in the request's metadata switches ext_authz on. Names of policies, and the
prefixes of shadow decisions, are Istio's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import partial

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as network_ext_authz_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_pb2
from google.protobuf.message import Message

from argosy.model.ir.policies import (
    Action,
    Authorization,
    AuthorizationPolicy,
    PolicyRule,
    rule_for_bytes,
)
from argosy.model.providers import ExternalAuthorization
from argosy.translate import names, wire
from argosy.translate.filters import ext_authz, rbac
from argosy.translate.resource import TYPE

BAD = "-deny-due-to-bad-CUSTOM-action"
ASKED = "istio_ext_authz_"
SHADOW = {Action.ALLOW: "istio_dry_run_allow_", Action.DENY: "istio_dry_run_deny_"}
STAT_PREFIX = "tcp."
AUDITED = "audit_"
"""Beginning of the names of counters."""


class Layer(StrEnum):
    HTTP = "http"
    TCP = "tcp"


class Slot(StrEnum):
    """In the order in which they are asked; request authentication stands behind EXT_AUTHZ."""

    CUSTOM = "custom"  # which requests are asked about
    EXT_AUTHZ = "ext-authz"  # asks
    AUDIT = "audit"
    DENY = "deny"
    ALLOW = "allow"


BEFORE_TOKENS = (Slot.CUSTOM, Slot.EXT_AUTHZ)
BEHIND_TOKENS = (Slot.AUDIT, Slot.DENY, Slot.ALLOW)

_HTTP_TYPES = {
    Slot.EXT_AUTHZ: (http_pb2.RBAC, ext_authz_pb2.ExtAuthz),
}
_TCP_TYPES = {
    Slot.EXT_AUTHZ: (network_pb2.RBAC, network_ext_authz_pb2.ExtAuthz),
}


# --- places ---------------------------------------------------------------------------------------------------------


def http_filters(
    port: int, slots: Iterable[Slot] = tuple(Slot)
) -> Iterator[http_connection_manager_pb2.HttpFilter]:
    """`port`: see `names.authorization`."""
    for slot in slots:
        out = http_connection_manager_pb2.HttpFilter(name=names.authorization(Layer.HTTP, slot, port))
        out.config_discovery.config_source.CopyFrom(wire.ads())
        out.config_discovery.type_urls.extend(_urls(_HTTP_TYPES.get(slot, (http_pb2.RBAC,))))
        yield out


def network_filters(port: int) -> Iterator[listener_components_pb2.Filter]:
    for slot in Slot:
        out = listener_components_pb2.Filter(name=names.authorization(Layer.TCP, slot, port))
        out.config_discovery.config_source.CopyFrom(wire.ads())
        out.config_discovery.type_urls.extend(_urls(_TCP_TYPES.get(slot, (network_pb2.RBAC,))))
        yield out


def _urls(types: Iterable[type[Message]]) -> list[str]:
    return [TYPE + one.DESCRIPTOR.full_name for one in types]


# --- what stands in them --------------------------------------------------------------------------------------------


def config(
    layer: Layer, slot: Slot, policies: Authorization, authorizer: ExternalAuthorization | None, port: int
) -> Message:
    """`authorizer`: whom the policies of CUSTOM ask; None: there is no such. `port`: the workload port, where Envoy
    sees another number (0: it does not)."""

    def made(of: AuthorizationPolicy) -> Iterable[rbac.Made]:
        return rbac.policies(of, partial(_rule_of, layer, port, of.action))

    match slot:
        case Slot.CUSTOM:
            return _custom(layer, policies.custom, authorizer, made)
        case Slot.EXT_AUTHZ:
            return _asking(layer, policies.custom, authorizer)
        case Slot.AUDIT:
            return _decides(layer, Action.AUDIT, policies.audit, made)
        case Slot.DENY:
            return _decides(layer, Action.DENY, policies.deny, made)
        case Slot.ALLOW:
            return _decides(layer, Action.ALLOW, policies.allow, made)


def _asking(
    layer: Layer, policies: tuple[AuthorizationPolicy, ...], authorizer: ExternalAuthorization | None
) -> Message:
    if authorizer is None or not policies or not _is_asked(layer, authorizer):
        return _empty(layer)
    make = ext_authz.http if layer is Layer.HTTP else ext_authz.network
    made: Message = make(authorizer, policies[0].provider)
    return made


def _is_asked(layer: Layer, authorizer: ExternalAuthorization) -> bool:
    """Facts (Istio): who is asked by HTTP is not asked about connections; then their CUSTOM policies say nothing."""
    return layer is Layer.HTTP or not authorizer.http


Rules = Callable[[AuthorizationPolicy], Iterable[rbac.Made]]


def _custom(
    layer: Layer,
    policies: tuple[AuthorizationPolicy, ...],
    authorizer: ExternalAuthorization | None,
    made: Rules,
) -> Message:
    if not policies or (authorizer is not None and not _is_asked(layer, authorizer)):
        return _empty(layer)
    named = {ext_authz.rule_name(of.provider, name): rule for of in policies for name, rule in made(of)}
    deny = rbac_pb2.RBAC.DENY
    if authorizer is None:
        return _rbac(layer, rules=rbac.rules(deny, ((f"{name}{BAD}", rule) for name, rule in named.items())))
    return _rbac(layer, shadow=rbac.rules(deny, named.items()), prefix=ASKED)


def _decides(layer: Layer, action: Action, policies: tuple[AuthorizationPolicy, ...], made: Rules) -> Message:
    enforced = [one for one in policies if not one.dry_run]
    tried = [one for one in policies if one.dry_run]
    kind = _KINDS[action]
    return _rbac(
        layer,
        rules=rbac.rules(kind, (rule for one in enforced for rule in made(one))) if enforced else None,
        shadow=rbac.rules(kind, (rule for one in tried for rule in made(one))) if tried else None,
        prefix=SHADOW.get(action, "") if tried else "",
        counted=bool(tried) or action is Action.AUDIT,
        named=AUDITED if action is Action.AUDIT else "",
    )


_KINDS = {
    Action.ALLOW: rbac_pb2.RBAC.ALLOW,
    Action.DENY: rbac_pb2.RBAC.DENY,
    Action.AUDIT: rbac_pb2.RBAC.LOG,
}


def _rule_of(layer: Layer, port: int, action: Action, rule: PolicyRule) -> PolicyRule | None:
    """What a rule comes to at a place."""
    said = rule if layer is Layer.HTTP else rule_for_bytes(rule, action)
    return rbac.at_port(said, port) if said is not None and port else said


def _empty(layer: Layer) -> Message:
    return _rbac(layer)


def _rbac(
    layer: Layer,
    rules: rbac_pb2.RBAC | None = None,
    shadow: rbac_pb2.RBAC | None = None,
    prefix: str = "",
    counted: bool = False,
    named: str = "",
) -> Message:
    """`counted`: by policy, `named`: under names of this beginning; there are no such counters of connections."""
    made: Message
    if layer is Layer.HTTP:
        made = http_pb2.RBAC(
            rules=rules,
            rules_stat_prefix=named,
            shadow_rules=shadow,
            shadow_rules_stat_prefix=prefix,
            track_per_rule_stats=counted,
        )
    else:
        made = network_pb2.RBAC(
            rules=rules, shadow_rules=shadow, shadow_rules_stat_prefix=prefix, stat_prefix=STAT_PREFIX
        )
    return made
