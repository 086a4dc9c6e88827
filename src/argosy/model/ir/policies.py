"""Who may do what (AuthorizationPolicy): a policy is a list of rules, a rule a list of conditions.

Rules of the meaning (Istio): a rule holds where ANY of its sources, ANY of its operations and ALL of its `when` hold;
in a source or an operation ALL conditions must hold; a condition holds where its attribute is matched by ANY of
`values` (if there are some) and by NONE of `not_values`. A rule of nothing holds for everything, a policy without
rules for nothing. Order of deciding: CUSTOM, then DENY, then ALLOW; AUDIT only marks. Values of attributes are
matched as `Match` says, names of attributes are those of Istio's conditions.

What is not HTTP has none of the attributes `HTTP_ONLY`: there an ALLOW (or CUSTOM, AUDIT) rule that needs one never
holds, and a DENY rule holds by what else it says.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Attribute(StrEnum):
    SOURCE_PRINCIPAL = "source.principal"  # proven by mutual TLS, without spiffe://
    SOURCE_NAMESPACE = "source.namespace"
    SOURCE_SERVICE_ACCOUNT = "source.serviceAccount"  # NAMESPACE/NAME, in full
    SOURCE_TRUST_DOMAIN = "source.trustDomain"
    SOURCE_IP = "source.ip"
    REMOTE_IP = "remote.ip"
    REQUEST_PRINCIPAL = "request.auth.principal"  # ISSUER/SUBJECT
    AUDIENCES = "request.auth.audiences"
    PRESENTER = "request.auth.presenter"
    CLAIM = "request.auth.claims"  # key: the path of the claim
    HEADER = "request.headers"  # key: (name,)
    HOST = "request.host"
    METHOD = "request.method"
    PATH = "request.path"
    DESTINATION_IP = "destination.ip"
    DESTINATION_PORT = "destination.port"  # of the workload
    SNI = "connection.sni"
    METADATA = "experimental.envoy.filters"  # key: (filter in full, path of the value …)


HTTP_ONLY = frozenset(
    (
        Attribute.REQUEST_PRINCIPAL,
        Attribute.AUDIENCES,
        Attribute.PRESENTER,
        Attribute.CLAIM,
        Attribute.HEADER,
        Attribute.HOST,
        Attribute.METHOD,
        Attribute.PATH,
    )
)


class TextMatch(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"  # written PREFIX*
    SUFFIX = "suffix"  # written *SUFFIX
    PRESENT = "present"  # written *: anything that is there and not empty
    TEMPLATE = "template"  # a path with {*} and {**}
    ADDRESS = "address"  # an address or a block
    PORT = "port"


class Match(Struct, frozen=True, gc=False, order=True):
    kind: TextMatch
    value: str = ""  # without the wildcard


class Condition(Struct, frozen=True, kw_only=True):
    """One attribute; at least one of `values`, `not_values` is there."""

    attribute: Attribute
    key: tuple[str, ...] = ()
    values: tuple[Match, ...] = ()
    not_values: tuple[Match, ...] = ()


Conditions = tuple[Condition, ...]  # ALL must hold


class PolicyRule(Struct, frozen=True, kw_only=True):
    sources: tuple[Conditions, ...] = ()  # ANY; (): from anywhere
    operations: tuple[Conditions, ...] = ()  # ANY; (): anything
    when: Conditions = ()


class Action(StrEnum):
    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"


class AuthorizationPolicy(Struct, frozen=True, kw_only=True):
    """`namespace` and `name` are part of the meaning: logs and metrics say which policy decided."""

    namespace: str
    name: str
    action: Action = Action.ALLOW
    provider: str = ""  # of CUSTOM
    dry_run: bool = False  # only counted
    rules: tuple[PolicyRule, ...] = ()

    def rule_name(self, index: int) -> str:
        """As Istio calls it in Envoy's configuration, logs and metrics."""
        return f"ns[{self.namespace}]-policy[{self.name}]-rule[{index}]"


class Authorization(Struct, frozen=True, kw_only=True):
    """All that decides for one workload, in the order in which it is asked."""

    custom: tuple[AuthorizationPolicy, ...] = ()
    audit: tuple[AuthorizationPolicy, ...] = ()
    deny: tuple[AuthorizationPolicy, ...] = ()
    allow: tuple[AuthorizationPolicy, ...] = ()
