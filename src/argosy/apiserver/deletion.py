"""What a client says about a deletion: DeleteOptions, in the body and in the query.

# Kubernetes: meta/v1 DeleteOptions (preconditions, dryRun); propagation has no meaning here: nothing owns anything
"""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request

from argosy.apiserver import documents, queries
from argosy.apiserver.status import bad_request


class DeleteOptions(Struct, frozen=True):
    dry_run: bool = False
    uid: str = ""
    revision: int | None = None

    @property
    def conditional(self) -> bool:
        return bool(self.uid) or self.revision is not None


async def read_delete_options(request: Request) -> DeleteOptions:
    """Raises Refusal (400, 413, 415)."""
    dry_run = queries.write_options(request.query_params).dry_run
    data = await documents.read(request)
    if not data.strip():
        return DeleteOptions(dry_run)
    body = await documents.decode(request, data)
    wanted = body.get("preconditions") or {}
    if not isinstance(wanted, dict):
        raise bad_request("preconditions: is not an object")
    uid, revision = wanted.get("uid") or "", wanted.get("resourceVersion") or ""
    if not isinstance(uid, str) or not isinstance(revision, str):
        raise bad_request("preconditions: uid and resourceVersion are text")
    dry = body.get("dryRun") or []
    if dry not in ([], ["All"]):
        raise bad_request('dryRun: is not ["All"]')
    return DeleteOptions(
        dry_run or bool(dry), uid, queries.revision(revision, "preconditions.resourceVersion")
    )
