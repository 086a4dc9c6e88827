"""Nobody gives away what they do not have: whether some rules cover others.

Rule: pure. A rule is covered where each of its combinations of verb, group, resource and name is allowed by ANY rule
that is held.
# Kubernetes: pkg/registry/rbac/validation ConfirmNoEscalation, Covers; apis/rbac/v1 CompactString
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from argosy.apiserver.access.attributes import quoted_list
from argosy.apiserver.access.rbac import ALL, path_matches
from argosy.apiserver.auth import User
from argosy.resources.rbac import PolicyRule

EVERYTHING = (
    PolicyRule(verbs=(ALL,), api_groups=(ALL,), resources=(ALL,)),
    PolicyRule(verbs=(ALL,), non_resource_urls=(ALL,)),
)
MOST_PARTS = 4096
"""Combinations of one rule that are looked at one by one; one with more must be covered by a single rule."""


def missing(held: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> tuple[PolicyRule, ...]:
    """What of `wanted` the rules that are held do not cover; empty: nothing."""
    found: list[PolicyRule] = []
    for rule in wanted:
        if any(covers(one, rule) for one in held):
            continue
        if _count(rule) > MOST_PARTS:
            found.append(rule)
        else:
            found += [part for part in _parts(rule) if not any(covers(one, part) for one in held)]
    return tuple(found)


def covers(held: PolicyRule, wanted: PolicyRule) -> bool:
    """Whether one rule alone covers another."""
    if not _includes(held.verbs, wanted.verbs):
        return False
    if wanted.non_resource_urls and not all(
        any(_path_covers(url, path) for url in held.non_resource_urls) for path in wanted.non_resource_urls
    ):
        return False
    if not (wanted.resources or wanted.api_groups):
        return True
    names = not held.resource_names or (
        bool(wanted.resource_names) and set(wanted.resource_names) <= set(held.resource_names)
    )
    return names and _includes(held.api_groups, wanted.api_groups) and _resources(held, wanted)


def told(user: User, lacking: Sequence[PolicyRule]) -> str:
    """Why the user may not give these rules away."""
    lines = sorted({compact(rule) for rule in _joined(lacking)})
    return (
        f"user {quoted_list((user.name,))[1:-1]} (groups={quoted_list(user.groups)}) is attempting to grant RBAC "
        "permissions not currently held:\n" + "\n".join(lines)
    )


def compact(rule: PolicyRule) -> str:
    parts = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.non_resource_urls),
        ("ResourceNames", rule.resource_names),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{name}:{quoted_list(values)}" for name, values in parts if values) + "}"


def _includes(held: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return ALL in held or set(wanted) <= set(held)


def _resources(held: PolicyRule, wanted: PolicyRule) -> bool:
    if ALL in held.resources:
        return True
    return all(
        resource in held.resources
        or ("/" in resource and f"{ALL}/{resource.partition('/')[2]}" in held.resources)
        for resource in wanted.resources
    )


def _path_covers(held: str, wanted: str) -> bool:
    return held == wanted or path_matches(held, wanted)


def _count(rule: PolicyRule) -> int:
    return (
        len(rule.verbs)
        * max(1, len(rule.api_groups) * len(rule.resources) * max(1, len(rule.resource_names)))
        * max(1, len(rule.non_resource_urls))
    )


def _parts(rule: PolicyRule) -> Iterator[PolicyRule]:
    """One rule for each combination."""
    names: Sequence[tuple[str, ...]] = [(name,) for name in rule.resource_names] or [()]
    for group, resource, verb, name in product(rule.api_groups, rule.resources, rule.verbs, names):
        yield PolicyRule(verbs=(verb,), api_groups=(group,), resources=(resource,), resource_names=name)
    for url, verb in product(rule.non_resource_urls, rule.verbs):
        yield PolicyRule(verbs=(verb,), non_resource_urls=(url,))


def _joined(rules: Sequence[PolicyRule]) -> Iterator[PolicyRule]:
    """Rules that differ in their verbs alone, as one."""
    verbs: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for rule in rules:
        key = (rule.api_groups, rule.resources, rule.resource_names, rule.non_resource_urls)
        verbs.setdefault(key, []).extend(verb for verb in rule.verbs if verb not in verbs.get(key, ()))
    for (groups, resources, names, urls), of in verbs.items():
        yield PolicyRule(
            verbs=tuple(of),
            api_groups=groups,
            resources=resources,
            resource_names=names,
            non_resource_urls=urls,
        )
