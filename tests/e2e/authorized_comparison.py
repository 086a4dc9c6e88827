"""What Envoy did with calls under random policies, held against what the evaluator says of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from argosy.explain.access import REQUEST, Access, Incoming, Receiver, access
from argosy.explain.authorization import Verdict
from argosy.explain.request import Request
from argosy.explain.tokens import Judge
from argosy.explain.view import View
from argosy.model.scope import Scope
from argosy.resources.meta import Object
from tests.e2e.authorized_call import Call
from tests.e2e.authorized_envoy import NAME, REFUSED, Answer, Lab
from tests.e2e.authorized_policies import LABELS, SHOP, Policies

CALLS = 50  # of a set of policies


@dataclass
class Difference:
    seed: int
    call: Call
    expected: Access
    answer: Answer
    what: str
    objects: list[Object]

    def __str__(self) -> str:
        policies = "\n  ".join(
            f"{one.metadata.namespace}/{one.metadata.name} {_short(one)}" for one in self.objects
        )
        return (
            f"seed {self.seed}: {self.what}\n  {self.call}\n  expected {self.expected.verdict}: "
            f"{self.expected.because} {self.expected.misses}\n  got {self.answer.status} "
            f"{self.answer.details}\n  {policies}"
        )


def _short(one: Object) -> str:
    import msgspec

    return str(msgspec.to_builtins(one)["spec"])


async def compared(
    envoy: Lab, seed: int, count: int = CALLS, about: tuple[str, ...] = ()
) -> list[Difference]:
    """`count` random calls under the random policies of a seed, about everything or something."""
    generator = Policies(seed, about)
    objects = generator.policies()
    await envoy.apply(objects)
    calls = [generator.call(objects) for _ in range(count)]
    view = View(envoy.snapshot, Scope())
    found = []
    for call, answer in zip(calls, await envoy.ask(calls), strict=True):
        expected = access(view, receiver(call), incoming(call))
        envoy.tally[f"{'HTTP' if call.http else 'TCP'} {kind(expected)}"] += 1
        if what := difference(call, expected, answer):
            found.append(Difference(seed, call, expected, answer, what, objects))
    return found


def kind(expected: Access) -> str:
    decision = expected.decision
    if expected.stage == REQUEST:
        return "its token is refused"
    if decision is None:
        return "turned away"
    if expected.verdict is Verdict.ASK:
        return "asked"
    if expected.verdict is Verdict.DENY:
        return "a rule denies it" if decision.by is not None else "nothing allows it"
    return "a rule allows it" if decision.by is not None else "nothing denies it"


def receiver(call: Call) -> Receiver:
    return Receiver(
        namespace=SHOP, name=NAME, labels=LABELS, address="127.0.0.1", port=call.port, http=call.http
    )


def incoming(call: Call) -> Incoming:
    request = Request(
        authority=call.authority, method=call.method, path=call.path, headers=tuple(call.headers)
    )
    return Incoming(
        mutual=bool(call.identities),
        identities=call.identities,
        address=call.source,
        server_name=call.server_name.lower() if call.identities else "",
        request=request if call.http else None,
        judge=Judge(now=time.time(), fetched=True),
    )


def difference(call: Call, expected: Access, answer: Answer) -> str:
    """What is not as expected; "" where nothing is."""
    decision = expected.decision
    refused = decision is not None and decision.asks is not None and not call.consents
    if not call.http:
        wanted = 200 if expected.allowed and not refused else 0
        return "" if answer.status == wanted else f"status {answer.status}, expected {wanted}"
    wanted = REFUSED if refused else 200 if expected.allowed else expected.status
    if answer.status != wanted:
        return f"status {answer.status}, expected {wanted}"
    if answer.status != 403 or decision is None or expected.stage == REQUEST:
        return ""
    by = "none"
    if decision.by is not None:
        namespace, _, name = decision.by.policy.partition("/")
        by = f"ns[{namespace}]-policy[{name}]-rule[{decision.by.rule}]"
    said = f"rbac_access_denied_matched_policy[{by}]"
    return "" if answer.details == said else f"{answer.details}, expected {said}"


async def none_differs(envoy: Lab, first: int, sets: int) -> None:
    found = []
    for seed in range(first, first + sets):
        found += await compared(envoy, seed)
    assert not found, f"{len(found)} differences, the first:\n" + "\n".join(map(str, found[:3]))
    shares(envoy)


LEAST = {
    "a rule denies it": 10,
    "nothing allows it": 10,
    "a rule allows it": 6,
    "nothing denies it": 10,
    "asked": 3,
}  # percent
MANY = 10_000


def shares(envoy: Lab) -> None:
    """Every verdict is common enough that a wrong one would be seen; of few sets of policies each is there at least."""
    for layer in ("HTTP", "TCP"):
        total = sum(count for name, count in envoy.tally.items() if name.startswith(layer))
        for name, percent in LEAST.items():
            least = total * percent // 100 if envoy.sent > MANY else total // 200
            assert envoy.tally[f"{layer} {name}"] >= least, f"{layer} {name} is rare: {envoy.tally}"


async def first_difference(envoy: Lab, first: int, about: tuple[str, ...] = (), sets: int = 150) -> bool:
    for seed in range(first, first + sets):
        if await compared(envoy, seed, about=about):
            return True
    return False
