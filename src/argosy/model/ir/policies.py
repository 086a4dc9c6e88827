"""Who may do what (AuthorizationPolicy): a policy is a list of rules, a rule a list of conditions.

Rules of the meaning (Istio): a rule holds where ANY of its sources, ANY of its operations and ALL of its `when` hold;
in a source or an operation ALL conditions must hold; a condition holds where its attribute is matched by ANY of
`values` (if there are some) and by NONE of `not_values`. A rule of nothing holds for everything, a policy without
rules for nothing. Order of deciding: CUSTOM, then DENY, then ALLOW; AUDIT only marks. Values of attributes are
matched as `Match` says, names of attributes are those of Istio's conditions.

What is not HTTP has none of the attributes `HTTP_ONLY`. There an ALLOW rule of which any part needs one never holds;
rules of the other actions hold by what else they say (`rule_for_bytes`), so that nothing is less guarded.

The peer's identity (principal, namespace, service account, trust domain) is that of its certificate. Without one
nothing of these is there: `values` match nothing, and none of `not_values` does. Providers of CUSTOM: one workload
may have one; policies that name several, or one that is not there or cannot be used, deny whatever they match.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Attribute(StrEnum):
    SOURCE_PRINCIPAL = "source.principal"  # proven by mutual TLS, without spiffe://
    SOURCE_NAMESPACE = "source.namespace"
    SOURCE_SERVICE_ACCOUNT = "source.serviceAccount"  # EXACT, NAMESPACE/NAME, in full
    SOURCE_TRUST_DOMAIN = "source.trustDomain"
    SOURCE_IP = "source.ip"  # of the connection
    REMOTE_IP = "remote.ip"  # of the client, as proxies that are trusted say
    REQUEST_PRINCIPAL = "request.auth.principal"  # issuer and subject of a valid token
    AUDIENCES = "request.auth.audiences"  # a text or a list of these: ANY must match; so the next two
    PRESENTER = "request.auth.presenter"  # the claim azp
    CLAIM = "request.auth.claims"  # key: the path of the claim
    HEADER = "request.headers"  # key: (name,)
    HOST = "request.host"
    METHOD = "request.method"
    PATH = "request.path"
    DESTINATION_IP = "destination.ip"
    DESTINATION_PORT = "destination.port"  # of the workload
    SNI = "connection.sni"
    METADATA = "experimental.envoy.filters"  # key: (filter in full, name of the value)


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
    PRESENT = (
        "present"  # written *: anything that is there and not empty (a header, host, method: may be empty)
    )
    PATTERN = "pattern"  # of namespaces and trust domains: each * stands for any text, or none
    TEMPLATE = "template"  # a path with {*} and {**}
    ADDRESS = "address"  # an address or a block
    PORT = "port"


class Match(Struct, frozen=True):
    """Hosts match in any case, all else as written. What is not there is matched by nothing, nor by the empty text."""

    kind: TextMatch
    value: str = ""  # without the wildcard (PATTERN, TEMPLATE: as written)
    subject: Match | None = None  # REQUEST_PRINCIPAL: of its subject, where the rest is of its issuer
    in_list: bool = False  # METADATA: ANY item of a list must match, in place of the value

    @property
    def written(self) -> str:
        """With its wildcard; of a text alone (`text_match`)."""
        match self.kind:
            case TextMatch.PRESENT:
                return "*"
            case TextMatch.PREFIX:
                return f"{self.value}*"
            case TextMatch.SUFFIX:
                return f"*{self.value}"
        return self.value


def text_match(written: str) -> Match:
    """Of a value with at most one wildcard, at its beginning or its end."""
    if written == "*":
        return Match(TextMatch.PRESENT)
    if written.startswith("*"):
        return Match(TextMatch.SUFFIX, written[1:])
    if written.endswith("*"):
        return Match(TextMatch.PREFIX, written[:-1])
    return Match(TextMatch.EXACT, written)


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

    @property
    def needs_http(self) -> bool:
        parts = (*self.sources, *self.operations, self.when)
        return any(one.attribute in HTTP_ONLY for part in parts for one in part)


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

    @property
    def policies(self) -> tuple[AuthorizationPolicy, ...]:
        return (*self.custom, *self.audit, *self.deny, *self.allow)


def rule_for_bytes(rule: PolicyRule, action: Action) -> PolicyRule | None:
    """What a rule says of connections that are not HTTP; None: it never holds there."""
    if not rule.needs_http:
        return rule
    if action is Action.ALLOW:
        return None
    return PolicyRule(
        sources=tuple(_without_http(one) for one in rule.sources),
        operations=tuple(_without_http(one) for one in rule.operations),
        when=_without_http(rule.when),
    )


def _without_http(conditions: Conditions) -> Conditions:
    return tuple(one for one in conditions if one.attribute not in HTTP_ONLY)
