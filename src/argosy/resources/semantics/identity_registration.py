"""IdentityRegistration: something that can be proven, and service accounts that can exist and are the object's to
give."""

from __future__ import annotations

import re

from argosy.resources.identity import IdentityMatch, IdentityRegistration
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

ROOT_NAMESPACE = "istio-system"
SELECTOR = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?:[A-Za-z0-9_./-]{1,253}=.+", re.DOTALL)
LONGEST_SELECTOR = 1024
_PATTERN = re.compile(r"[a-z0-9*](?:[-a-z0-9.*]*[a-z0-9*])?")
_MAX_UID = 2**32 - 2  # 2^32-1 means "no user" to the kernel


def is_pattern(account: str) -> bool:
    """Whether it is NAMESPACE/NAME, either with `*`."""
    namespace, slash, name = account.partition("/")
    return bool(slash and _PATTERN.fullmatch(namespace) and _PATTERN.fullmatch(name))


def check(obj: IdentityRegistration, findings: Findings) -> None:
    _check_match(obj.spec.match, findings)
    if not obj.spec.service_accounts:
        findings.error("spec.serviceAccounts", "is empty; give at least one namespace/name")
    own = obj.metadata.namespace
    for i, account in enumerate(obj.spec.service_accounts):
        namespace, _, name = account.partition("/")
        if not is_pattern(account):
            findings.error(
                f"spec.serviceAccounts[{i}]",
                f"{names.shown(account)} is not namespace/name; write one as in shop/reviews, shop/* or */*",
            )
        elif own not in ("", ROOT_NAMESPACE, namespace):
            findings.error(
                f"spec.serviceAccounts[{i}]",
                f"{names.shown(account)} is not of the namespace {own}, and an object there may give no other; "
                f"write {own}/{name}, or put the object into {ROOT_NAMESPACE}",
            )


def _check_match(match: IdentityMatch, findings: Findings) -> None:
    if match.unix_user is not None and match.unix_uid is not None:
        findings.error("spec.match", "needs exactly one of unixUser and unixUid, or selectors")
    if match.unix_user is None and match.unix_uid is None and not match.selectors:
        findings.error("spec.match", "needs exactly one of unixUser and unixUid, or selectors")
    if match.unix_user == "":
        findings.error("spec.match.unixUser", "is empty; give a user's name")
    if match.unix_uid is not None and not 0 <= match.unix_uid <= _MAX_UID:
        findings.error("spec.match.unixUid", f"{match.unix_uid} is not a user id; use 0 to {_MAX_UID}")
    for i, selector in enumerate(match.selectors):
        if len(selector) > LONGEST_SELECTOR or not SELECTOR.fullmatch(selector):
            findings.error(
                f"spec.match.selectors[{i}]",
                f"{names.shown(selector)} is not ATTESTOR:KEY=VALUE; write one as in host:name=vm-1 or k8s:ns=shop",
            )
