"""What may be issued at all, whoever proves what: the issuing policies of a mesh, as plain values.

IssuingPolicy objects say it (`resources/issuing.py`). ALL of them must permit a certificate: each shortens lifetimes to
its own maximum, `allow` names what may be issued (nothing named: everything), `deny` what may not. So a policy takes
away, and never gives: who gets what was not taken away is a matter of proofs and registrations.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from msgspec import Struct

from argosy.identity.names import Identity


class IssuingPolicy(Struct, frozen=True, kw_only=True):
    """`allow` and `deny` are patterns of NAMESPACE/NAME of service accounts; `*` stands for any part of either."""

    name: str  # of the object
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    maximum_ttl: int = 0  # seconds; 0: none of its own


class NotPermitted(Exception):
    """The reason is for the log; `answer` is what the caller hears."""

    def __init__(self, reason: str, answer: str) -> None:
        super().__init__(reason)
        self.answer = answer


def permitted(identity: Identity, ttl: int, policies: Iterable[IssuingPolicy]) -> int:
    """The lifetime (seconds) that all policies permit, of what was asked for. Raises NotPermitted."""
    account = f"{identity.namespace}/{identity.service_account}"
    for policy in policies:
        refusal = NotPermitted(
            f"IssuingPolicy {policy.name} does not permit {identity.spiffe_id}",
            f"the mesh issues no certificate for the service account {account}",
        )
        if covers(policy.deny, identity.namespace, identity.service_account):
            raise refusal
        if policy.allow and not covers(policy.allow, identity.namespace, identity.service_account):
            raise refusal
        if policy.maximum_ttl:
            ttl = min(ttl, policy.maximum_ttl)
    return ttl


def covers(patterns: Iterable[str], namespace: str, name: str) -> bool:
    """ANY of the patterns matches; `*` never stands for the slash."""
    for pattern in patterns:
        wanted_namespace, _, wanted_name = pattern.partition("/")
        if fnmatchcase(namespace, wanted_namespace) and fnmatchcase(name, wanted_name):
            return True
    return False
