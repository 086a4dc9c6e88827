"""IdentityRegistration: exactly one Unix user, and service accounts that can exist."""

from __future__ import annotations

import re

from argosy.resources.identity import IdentityRegistration
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

_PATTERN = re.compile(r"[a-z0-9*](?:[-a-z0-9.*]*[a-z0-9*])?")
_MAX_UID = 2**32 - 2  # 2^32-1 means "no user" to the kernel


def is_pattern(account: str) -> bool:
    """Whether it is NAMESPACE/NAME, either with `*`."""
    namespace, slash, name = account.partition("/")
    return bool(slash and _PATTERN.fullmatch(namespace) and _PATTERN.fullmatch(name))


def check(obj: IdentityRegistration, findings: Findings) -> None:
    match = obj.spec.match
    if (match.unix_user is None) == (match.unix_uid is None):
        findings.error("spec.match", "needs exactly one of unixUser and unixUid")
    if match.unix_user == "":
        findings.error("spec.match.unixUser", "is empty; give a user's name")
    if match.unix_uid is not None and not 0 <= match.unix_uid <= _MAX_UID:
        findings.error("spec.match.unixUid", f"{match.unix_uid} is not a user id; use 0 to {_MAX_UID}")
    if not obj.spec.service_accounts:
        findings.error("spec.serviceAccounts", "is empty; give at least one namespace/name")
    for i, account in enumerate(obj.spec.service_accounts):
        if not is_pattern(account):
            findings.error(
                f"spec.serviceAccounts[{i}]",
                f"{names.shown(account)} is not namespace/name; write one as in shop/reviews, shop/* or */*",
            )
