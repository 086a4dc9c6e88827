"""Questions about access: what must be said for them to mean something.

# Kubernetes: pkg/apis/authorization/validation
"""

from __future__ import annotations

from argosy.resources.reviews import (
    SelfSubjectAccessReview,
    SelfSubjectReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
)
from argosy.resources.semantics.findings import Findings


def check(
    obj: SelfSubjectAccessReview | SubjectAccessReview | SelfSubjectRulesReview | SelfSubjectReview,
    findings: Findings,
) -> None:
    if isinstance(obj, SelfSubjectRulesReview):
        if not obj.spec.namespace:
            findings.error("spec.namespace", "is missing; name the namespace whose rules are wanted")
        return
    if isinstance(obj, SelfSubjectReview):
        return
    given = (obj.spec.resource_attributes, obj.spec.non_resource_attributes)
    if sum(one is not None for one in given) != 1:
        findings.error("spec", "must have exactly one of resourceAttributes and nonResourceAttributes")
    if isinstance(obj, SubjectAccessReview) and not obj.spec.user and not obj.spec.groups:
        findings.error("spec.user", "is missing; name a user, or groups")
