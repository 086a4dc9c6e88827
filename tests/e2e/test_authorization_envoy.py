"""Policies as the evaluator reads them against real Envoy: random policies and calls, no difference; a bug in either is
found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from envoy.config.core.v3 import extension_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.message import Message
from msgspec.structs import replace

from argosy.explain import access, authorization, called, conditions
from argosy.explain.authorization import Decision
from argosy.explain.called import Called
from argosy.explain.request import Seen
from argosy.model.ir.policies import (
    Action,
    Attribute,
    Authorization,
    AuthorizationPolicy,
    Condition,
    Match,
    PolicyRule,
    TextMatch,
)
from tests.e2e.authorized_comparison import first_difference, none_differs
from tests.e2e.authorized_envoy import Lab, lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SEED = 5_000


@pytest_asyncio.fixture
async def envoy(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as found:
        yield found


async def test_the_evaluator_says_what_envoy_does(envoy: Lab) -> None:
    await none_differs(envoy, SEED, 30)


# --- a bug in the evaluator -----------------------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def _matching(patch: Patch, wrong: Callable[[Match, str], bool | None]) -> None:
    """`wrong` None: as it is."""
    right = conditions._text

    def text(wanted: Match, value: str) -> bool:
        found = wrong(wanted, value)
        return right(wanted, value) if found is None else found

    patch.setattr(conditions, "_text", text)


def _prefix_as_exact(patch: Patch) -> None:
    _matching(patch, lambda wanted, value: value == wanted.value if wanted.kind is TextMatch.PREFIX else None)


def _suffix_anywhere(patch: Patch) -> None:
    _matching(patch, lambda wanted, value: wanted.value in value if wanted.kind is TextMatch.SUFFIX else None)


def _in_any_case(patch: Patch) -> None:
    _matching(
        patch,
        lambda wanted, value: (
            value.lower() == wanted.value.lower() if wanted.kind is TextMatch.EXACT else None
        ),
    )


def _segments_without_end(patch: Patch) -> None:
    patch.setattr(conditions, "_SEGMENT", r"[^?]")
    conditions._template.cache_clear()


def _blocks_of_single_addresses(patch: Patch) -> None:
    patch.setattr(conditions, "within", lambda address, block: address == block.partition("/")[0])


def _hosts_as_written(patch: Patch) -> None:
    patch.setattr(conditions, "lower", lambda text: text)


def _values(
    patch: Patch, attribute: Attribute, wrong: Callable[[tuple[Any, ...], Called], Sequence[Any]]
) -> None:
    right = called.values_of

    def values(condition: Condition, call: Called) -> Sequence[Any]:
        found = right(condition, call)
        return wrong(found, call) if condition.attribute is attribute else found

    patch.setattr(authorization, "values_of", values)


def _only_the_first_identity(patch: Patch) -> None:
    _values(patch, Attribute.SOURCE_PRINCIPAL, lambda found, call: found[:1])


def _one_value_of_a_header(patch: Patch) -> None:
    _values(patch, Attribute.HEADER, lambda found, call: (", ".join(found),) if found else ())


def _a_header_that_is_not_there_is_empty(patch: Patch) -> None:
    _values(patch, Attribute.HEADER, lambda found, call: found or ("",))


def _paths_with_their_query(patch: Patch) -> None:
    _values(patch, Attribute.PATH, lambda found, call: (call.http.path,) if call.http else found)


def _clients_as_connections(patch: Patch) -> None:
    patch.setattr(access, "_remote", lambda http, address: address)


def _first_of_forwarded(patch: Patch) -> None:
    right = access._remote

    def wrong(http: Seen, address: str) -> str:
        said = "".join(http.headers.get("x-forwarded-for", ()))
        return right(replace(http, headers={"x-forwarded-for": (said.partition(",")[0],)}), address)

    patch.setattr(access, "_remote", wrong)


def _exceptions_forgotten(patch: Patch) -> None:
    right = authorization.why_not
    patch.setattr(authorization, "why_not", lambda one, call: right(replace(one, not_values=()), call))


def _dry_run_in_force(patch: Patch) -> None:
    patch.setattr(authorization, "_enforced", tuple)


def _nobody_is_asked(patch: Patch) -> None:
    right = authorization.asked
    patch.setattr(access, "asked", lambda policies, call: right(replace(policies, custom=()), call))


def _one_policy_that_denies(patch: Patch) -> None:
    right = authorization.decide

    def wrong(policies: Authorization, call: Called, asks: authorization.Judged | None = None) -> Decision:
        return right(replace(policies, deny=policies.deny[:1]), call, asks)

    patch.setattr(access, "decide", wrong)


def _of_one_source_each(patch: Patch) -> None:
    """All sources must hold in place of any."""

    def wrong(alternatives: Sequence[Any], call: Called) -> tuple[str, ...]:
        return tuple(why for one in alternatives for why in authorization._failed(one, call))

    patch.setattr(authorization, "_closest", wrong)


def _connections_as_requests(patch: Patch) -> None:
    """A DENY rule that needs HTTP denies no connection."""

    def wrong(rule: PolicyRule, action: Action) -> PolicyRule | None:
        return None if rule.needs_http else rule

    patch.setattr(authorization, "rule_for_bytes", wrong)


def _rules_in_their_order(patch: Patch) -> None:
    """Not by name: it is another that is told of."""
    patch.setattr(AuthorizationPolicy, "rule_name", lambda self, index: "")


def _bugs(*bugs: Any, always: int) -> list[Any]:
    """Each needs an Envoy for some seconds: the first few are looked for in every run, the rest in long ones."""
    return [
        pytest.param(bug, id=bug.__name__, marks=() if place < always else pytest.mark.long)
        for place, bug in enumerate(bugs)
    ]


HEADERS = ("request.headers[x-user]", "request.headers[X-Group]", "request.headers[user-agent]")
EVALUATOR: dict[Callable[[Patch], None], tuple[str, ...]] = {
    _prefix_as_exact: (),
    _suffix_anywhere: ("hosts", "paths"),
    _in_any_case: ("paths", *HEADERS),
    _segments_without_end: ("paths",),
    _blocks_of_single_addresses: ("ipBlocks",),
    _hosts_as_written: ("hosts",),
    _only_the_first_identity: ("principals",),
    _one_value_of_a_header: HEADERS,
    _a_header_that_is_not_there_is_empty: HEADERS,
    _paths_with_their_query: ("paths",),
    _clients_as_connections: ("remoteIpBlocks",),
    _first_of_forwarded: ("remoteIpBlocks",),
    _exceptions_forgotten: (),
    _dry_run_in_force: (),
    _nobody_is_asked: (),
    _one_policy_that_denies: (),
    _of_one_source_each: (),
    _connections_as_requests: (),
    _rules_in_their_order: (),
}
"""Each with what policies speak of where it shows."""


@pytest.mark.parametrize("bug", _bugs(*EVALUATOR, always=3))
async def test_a_bug_in_the_evaluator_is_found(
    envoy: Lab, monkeypatch: Patch, bug: Callable[[Patch], None]
) -> None:
    bug(monkeypatch)
    try:
        assert await first_difference(envoy, SEED, EVALUATOR[bug]), "the wrong evaluator agrees with Envoy"
    finally:
        conditions._template.cache_clear()


# --- a bug in the translation ---------------------------------------------------------------------------------------


def _parts(message: Message) -> Iterator[Message]:
    """A message and all within it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = [one for one in value.values() if isinstance(one, Message)]
        else:
            inner = [value] if isinstance(value, Message) else list(value)
        for one in inner:
            yield from _parts(one)


def _within(
    change: Callable[[rbac_pb2.RBAC], None], *types: type[Any]
) -> Callable[[extension_pb2.TypedExtensionConfig], None]:
    def mutate(message: extension_pb2.TypedExtensionConfig) -> None:
        for kind in types or (http_pb2.RBAC, network_pb2.RBAC):
            if message.name.startswith("peer-authentication") or not message.typed_config.Is(kind.DESCRIPTOR):
                continue
            made = kind.FromString(message.typed_config.value)
            for rules in (made.rules, made.shadow_rules):
                if rules.policies:
                    change(rules)
            message.typed_config.value = made.SerializeToString()

    return mutate


def _one_rule_forgotten(rules: rbac_pb2.RBAC) -> None:
    if len(rules.policies) > 1:
        del rules.policies[max(rules.policies)]


def _denied_is_only_marked(rules: rbac_pb2.RBAC) -> None:
    if rules.action == rbac_pb2.RBAC.DENY:
        rules.action = rbac_pb2.RBAC.LOG


def _nothing_is_excepted(rules: rbac_pb2.RBAC) -> None:
    for one in list(_parts(rules)):
        if isinstance(one, rbac_pb2.Permission) and one.HasField("not_rule"):
            one.any = True
        if isinstance(one, rbac_pb2.Principal) and one.HasField("not_id"):
            one.any = True


def _anybody_with_a_certificate(rules: rbac_pb2.RBAC) -> None:
    for one in list(_parts(rules)):
        if isinstance(one, rbac_pb2.Principal.Authenticated):
            one.ClearField("principal_name")


def _larger_blocks(rules: rbac_pb2.RBAC) -> None:
    for one in list(_parts(rules)):
        if hasattr(one, "prefix_len") and one.prefix_len.value > 8:
            one.prefix_len.value -= 8


def _exact_as_prefix(rules: rbac_pb2.RBAC) -> None:
    for one in list(_parts(rules)):
        if isinstance(one, string_pb2.StringMatcher) and one.exact:
            one.prefix = one.exact


def _hosts_as_they_are(rules: rbac_pb2.RBAC) -> None:
    for one in list(_parts(rules)):
        if isinstance(one, string_pb2.StringMatcher):
            one.ignore_case = False


def _addresses_of_the_connection(rules: rbac_pb2.RBAC) -> None:
    for one in list(_parts(rules)):
        if isinstance(one, rbac_pb2.Principal) and one.HasField("remote_ip"):
            one.direct_remote_ip.CopyFrom(one.remote_ip)


TRANSLATION: dict[Callable[[rbac_pb2.RBAC], None], tuple[str, ...]] = {
    _one_rule_forgotten: (),
    _denied_is_only_marked: (),
    _nothing_is_excepted: (),
    _anybody_with_a_certificate: ("principals",),
    _larger_blocks: ("ipBlocks",),
    _exact_as_prefix: ("paths",),
    _hosts_as_they_are: ("hosts",),
    _addresses_of_the_connection: ("remoteIpBlocks",),
}


@pytest.mark.parametrize("bug", _bugs(*TRANSLATION, always=3))
async def test_a_bug_in_the_translation_is_found(envoy: Lab, bug: Callable[[rbac_pb2.RBAC], None]) -> None:
    envoy.mutate = _within(bug)
    assert await first_difference(envoy, SEED, TRANSLATION[bug]), (
        "Envoy with the wrong policies agrees with the evaluator"
    )


@pytest.mark.parametrize("bug", _bugs(_one_rule_forgotten, _nothing_is_excepted, always=1))
async def test_a_bug_in_the_translation_of_connections_is_found(
    envoy: Lab, bug: Callable[[rbac_pb2.RBAC], None]
) -> None:
    envoy.mutate = _within(bug, network_pb2.RBAC)
    assert await first_difference(envoy, SEED), "Envoy with the wrong policies agrees with the evaluator"
