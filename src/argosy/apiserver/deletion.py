"""What a client says about a deletion: DeleteOptions, in the body or in the query.

gracePeriodSeconds is taken and means nothing: configuration has nothing to wind down.
# Kubernetes: meta/v1 DeleteOptions
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.requests import Request

from argosy.apiserver import documents, protobuf, queries
from argosy.apiserver.removal import POLICIES
from argosy.apiserver.status import bad_request, invalid_options
from argosy.resources.problem import Problem

Json = dict[str, Any]


class DeleteOptions(Struct, frozen=True):
    dry_run: bool = False
    uid: str = ""
    revision: int | None = None
    policy: str = ""  # of POLICIES; "": what the object's own finalizers say

    @property
    def conditional(self) -> bool:
        return bool(self.uid) or self.revision is not None


async def read_delete_options(request: Request) -> DeleteOptions:
    """Raises Refusal (400, 413, 415, 422). The body counts where there is one, else the query."""
    data = await documents.read(request)
    if data.strip():
        return _options(await documents.decode(request, data, protobuf.DELETE_OPTIONS))
    return _options(_of_query(request.query_params))


def _of_query(query: QueryParams) -> Json:
    found: Json = {"dryRun": [value for value in query.getlist("dryRun") if value]}
    if query.get("propagationPolicy"):
        found["propagationPolicy"] = query["propagationPolicy"]
    orphans = queries.truth(query, "orphanDependents")
    grace = query.get("gracePeriodSeconds") or "0"
    if not (grace.removeprefix("-").isascii() and grace.removeprefix("-").isdigit() and len(grace) < 19):
        raise bad_request(f"gracePeriodSeconds: {grace[:40]!r} is not a number of seconds")
    return found | {"orphanDependents": orphans, "gracePeriodSeconds": int(grace)}


def _options(body: Json) -> DeleteOptions:
    wanted = body.get("preconditions") or {}
    if not isinstance(wanted, dict):
        raise bad_request("preconditions: is not an object")
    uid, revision = wanted.get("uid") or "", wanted.get("resourceVersion") or ""
    if not isinstance(uid, str) or not isinstance(revision, str):
        raise bad_request("preconditions: uid and resourceVersion are text")
    dry, policy, orphans = (
        body.get("dryRun") or [],
        body.get("propagationPolicy") or "",
        body.get("orphanDependents"),
    )
    if not isinstance(dry, list) or not all(isinstance(each, str) for each in dry):
        raise bad_request("dryRun: is not a list of texts")
    if not isinstance(policy, str) or not (orphans is None or isinstance(orphans, bool)):
        raise bad_request("propagationPolicy is text, orphanDependents true or false")
    grace = body.get("gracePeriodSeconds")
    if not (grace is None or (isinstance(grace, int) and not isinstance(grace, bool))):
        raise bad_request("gracePeriodSeconds: is not a whole number")
    problems: list[Problem] = []
    dry_run = queries.dry_run(dry, problems)
    if policy and policy not in POLICIES:
        said = f"Unsupported value: {policy[:40]!r}: supported values: {', '.join(POLICIES)}"
        problems.append(Problem("propagationPolicy", said))
    elif policy and orphans is not None:
        problems.append(
            Problem("propagationPolicy", "orphanDependents and propagationPolicy cannot both be set")
        )
    if problems:
        raise invalid_options("DeleteOptions", problems)
    if orphans is not None:
        policy = "Orphan" if orphans else "Background"
    return DeleteOptions(dry_run, uid, queries.revision(revision, "preconditions.resourceVersion"), policy)
