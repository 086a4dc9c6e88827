"""Whether a workload's AuthorizationPolicies let a call in, by which rule, and which rule came closest.

Rule: what is said here of conditions is what Envoy's RBAC filters do with them (tests/e2e/test_authorization_envoy.py
asks it). CUSTOM first, then DENY, then ALLOW: where there is some ALLOW policy, what no rule of one allows is denied.
A condition is compared with ALL the values that its attribute has: ANY of them is enough. What is not there has no
value: `values` fail, `not_values` hold. Comments beside loops say ANY or ALL.

# Istio: security.istio.io/v1 AuthorizationPolicy; Envoy: config.rbac.v3.{Permission,Principal}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from argosy.explain.called import Called, Undetermined, Value, values_of
from argosy.explain.conditions import describe, matched
from argosy.model.ir.policies import (
    HTTP_ONLY,
    Action,
    Authorization,
    AuthorizationPolicy,
    Condition,
    Conditions,
    PolicyRule,
    rule_for_bytes,
)


class Verdict(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    ASK = "ask"  # the provider decides


class Ruled(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A rule of a policy, and what it does with the call; or the first that came close, and why it has no say."""

    policy: str  # namespace/name
    rule: int  # from 0, as in spec.rules[0]
    action: str
    provider: str = ""
    failed: tuple[str, ...] = ()  # the conditions that do not hold; (): it holds

    def says(self) -> str:
        does = _DOES[Action(self.action)]
        if not self.failed:
            return f"AuthorizationPolicy {self.policy} rules[{self.rule}] {does[0]}"
        return f"AuthorizationPolicy {self.policy} rules[{self.rule}] would {does[1]}, but {' and '.join(self.failed)}"


_DOES = {
    Action.ALLOW: ("allows it", "allow it"),
    Action.DENY: ("denies it", "deny it"),
    Action.AUDIT: ("marks it for the audit", "mark it for the audit"),
    Action.CUSTOM: ("has the provider asked", "have the provider asked"),
}


class Judged(NamedTuple):
    by: Ruled | None  # the first rule that holds
    doubt: str  # where none does: what is not known and might make one hold


class Decision(Struct, frozen=True, omit_defaults=True, rename="camel"):
    verdict: Verdict
    because: str
    by: Ruled | None = (
        None  # the rule that decides; None: there is none (nothing is denied, or nothing allows it)
    )
    asks: Ruled | None = None  # the CUSTOM rule that has a provider asked before
    misses: tuple[
        Ruled, ...
    ] = ()  # that came closest: for a denied call to allowing it, for an allowed one to denying it
    audited: tuple[Ruled, ...] = ()
    dry_run: tuple[str, ...] = ()  # what policies that are only counted would have decided

    @property
    def allowed(self) -> bool:
        return self.verdict is not Verdict.DENY


def asked(policies: Authorization, called: Called) -> Judged:
    """Whether a provider is asked, of a call whose tokens nobody has looked at yet."""
    return _judged(policies.custom, called)


def decide(policies: Authorization, called: Called, asks: Judged | None = None) -> Decision:
    """`asks`: whether a provider was asked before. Raises Undetermined where what is not known of the call decides."""
    asks = asked(policies, called) if asks is None else asks
    deny, allow = _enforced(policies.deny), _enforced(policies.allow)
    denied, permitted = _judged(deny, called), _judged(allow, called)
    against: tuple[AuthorizationPolicy, ...] = ()
    if denied.by is not None:
        verdict, by, because = Verdict.DENY, denied.by, denied.by.says()
    elif allow and permitted.by is None and not permitted.doubt:
        verdict, by, against = Verdict.DENY, None, allow
        because = f"{_names(allow)} allow{'s' if len(allow) == 1 else ''} some calls, and not this one"
    elif doubt := denied.doubt or permitted.doubt or asks.doubt:
        raise Undetermined(doubt)
    else:
        verdict, by, against = Verdict.ALLOW, permitted.by, deny
        because = by.says() if by is not None else _nothing_denies(deny)
        if asks.by is not None:
            verdict, because = Verdict.ASK, f"{asks.by.says()} ({asks.by.provider}); then {because}"
    marks = (_judged((policy,), called).by for policy in policies.audit)
    return Decision(
        verdict=verdict,
        because=because,
        by=by,
        asks=asks.by,
        misses=nearest(against, called),
        audited=tuple(one for one in marks if one is not None),
        dry_run=tuple(_dry_run(policies, called)),
    )


def _nothing_denies(deny: Sequence[AuthorizationPolicy]) -> str:
    return f"no rule of {_names(deny)} denies it" if deny else "no AuthorizationPolicy denies it"


def _names(policies: Sequence[AuthorizationPolicy]) -> str:
    noun = "AuthorizationPolicy" if len(policies) == 1 else "AuthorizationPolicies"
    return f"{noun} {', '.join(f'{one.namespace}/{one.name}' for one in policies)}"


def _enforced(policies: Iterable[AuthorizationPolicy]) -> tuple[AuthorizationPolicy, ...]:
    return tuple(one for one in policies if not one.dry_run)


def _dry_run(policies: Authorization, called: Called) -> Iterable[str]:
    """Facts (Istio): policies of one action that are only counted decide together, beside those in force."""
    deny = tuple(one for one in policies.deny if one.dry_run)
    allow = tuple(one for one in policies.allow if one.dry_run)
    denied, permitted = _judged(deny, called), _judged(allow, called)
    if denied.by:
        yield f"it would be denied: {denied.by.says()} (only counted)"
    elif deny:
        yield denied.doubt or f"it would not be denied by {_names(deny)} (only counted)"
    if permitted.by:
        yield f"it would be allowed: {permitted.by.says()} (only counted)"
    elif allow:
        yield permitted.doubt or f"it would be denied, as {_names(allow)} (only counted) would not allow it"


def _judged(policies: Sequence[AuthorizationPolicy], called: Called) -> Judged:
    """Facts (Envoy): rules are looked at in the order of their names, and the first that holds is the one that logs and
    metrics tell of."""
    doubt = ""
    rules = [(one.rule_name(index), one, index) for one in policies for index in range(len(one.rules))]
    for _, policy, index in sorted(rules, key=lambda each: each[0]):  # ANY
        failed = failing(policy.rules[index], policy.action, called)
        if not failed:
            return Judged(_ruled(policy, index), "")
        if all(isinstance(one, Doubt) for one in failed):
            doubt = doubt or str(failed[0])
    return Judged(None, doubt)


def _ruled(policy: AuthorizationPolicy, index: int, failed: tuple[str, ...] = ()) -> Ruled:
    return Ruled(f"{policy.namespace}/{policy.name}", index, str(policy.action), policy.provider, failed)


MISSES = 3


def nearest(policies: Sequence[AuthorizationPolicy], called: Called) -> tuple[Ruled, ...]:
    """The rules of which the fewest conditions fail, the closest first; a few of them."""
    found = [
        _ruled(policy, index, failing(rule, policy.action, called))
        for policy in policies
        for index, rule in enumerate(policy.rules)
    ]
    closest = sorted((one for one in found if one.failed), key=lambda one: distance(one.failed))
    return tuple(one for one in closest if distance(one.failed) == distance(closest[0].failed))[:MISSES]


# --- one rule -------------------------------------------------------------------------------------------------------


class Doubt(str):
    """Of a condition of which it is not known whether it holds: what is missing."""

    __slots__ = ()


def failing(rule: PolicyRule, action: Action, called: Called) -> tuple[str, ...]:
    """The conditions that do not hold, or of which that is not known, of the source and of the operation that come
    closest; (): it holds."""
    judged = rule if called.http is not None else rule_for_bytes(rule, action)
    if judged is None:
        needed = next(one for one in _all_of(rule) if one.attribute in HTTP_ONLY)
        return (f"{named(needed)} is of HTTP requests, and this is none",)
    groups = (judged.sources, judged.operations, (judged.when,))
    return tuple(why for group in groups for why in _closest(group, called))  # ALL


def _all_of(rule: PolicyRule) -> Iterable[Condition]:
    for group in (*rule.sources, *rule.operations, rule.when):
        yield from group


def _closest(alternatives: Sequence[Conditions], called: Called) -> tuple[str, ...]:
    """Of the one of which the fewest conditions fail: ANY is enough. None at all: everything holds."""
    found = [_failed(one, called) for one in alternatives]
    return min(found, key=distance, default=())


def distance(failed: Sequence[str]) -> tuple[int, int]:
    """Those that fail count before those that are in doubt."""
    doubts = sum(isinstance(one, Doubt) for one in failed)
    return len(failed) - doubts, doubts


def _failed(conditions: Conditions, called: Called) -> tuple[str, ...]:
    return tuple(why for one in conditions if (why := why_not(one, called)))  # ALL


def why_not(condition: Condition, called: Called) -> str:
    """Why it does not hold; "" where it does."""
    try:
        has = values_of(condition, called)
    except Undetermined as error:
        return Doubt(str(error))
    attribute = condition.attribute
    if condition.values and not any(matched(attribute, one, has) for one in condition.values):  # ANY
        wanted = " or ".join(map(describe, condition.values))
        return f"{named(condition)} {_shown(has)} and not {wanted}"
    excluded = next(
        (one for one in condition.not_values if matched(attribute, one, has)), None
    )  # NONE of them
    if excluded is not None:
        return f"{named(condition)} {_shown(has)}, which is excepted ({describe(excluded)})"
    return ""


def _shown(values: Sequence[Value]) -> str:
    return f"is {', '.join(str(value) or '(empty)' for value in values)}" if values else "is not there"


def named(condition: Condition) -> str:
    """As Istio's conditions are called."""
    return str(condition.attribute) + "".join(f"[{part}]" for part in condition.key)
