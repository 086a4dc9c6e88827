"""What a proxy makes of a request before it looks for a route: its path rewritten, headers taken off; or it is refused.

Facts (Envoy 1.40, tried): headers first, then escaped slashes, then normalisation, then double slashes. What
connectionSettings say goes before pathNormalization; a gateway has its own. Whose path is not taken, and who says
x-forwarded-proto, is answered with the headers that the route for the path as written sets; that is not told.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from argosy.explain import paths, replies
from argosy.explain.http import Routed
from argosy.explain.outcome import Redirected, Step, Unrouted
from argosy.explain.request import Request, by_name
from argosy.explain.view import View
from argosy.model import ir
from argosy.model.ir import Pairs, Paths
from argosy.model.scope import ProxyType

KEEP, REJECT, REDIRECT = "KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT"
DROP = "DROP_HEADER"


class Custom(Struct, frozen=True):
    """What is done to each request."""

    normalised: bool
    merged: bool
    escaped: str  # KEEP_UNCHANGED | REJECT_REQUEST | UNESCAPE_AND_REDIRECT | UNESCAPE_AND_FORWARD
    underscores: str  # ALLOW | REJECT_REQUEST | DROP_HEADER


def custom(mesh: ir.Mesh, type_: ProxyType) -> Custom:
    said = mesh.proxy.gateway_connections if type_ is ProxyType.ROUTER else mesh.proxy.connections
    decoded = mesh.paths is Paths.DECODE_AND_MERGE_SLASHES
    merged = decoded or mesh.paths is Paths.MERGE_SLASHES
    return Custom(
        normalised=mesh.paths is not Paths.NONE,
        merged=merged if said.merge_slashes is None else said.merge_slashes,
        escaped=said.escaped_slashes or ("UNESCAPE_AND_FORWARD" if decoded else KEEP),
        underscores=said.underscores or "ALLOW",
    )


def arrived(view: View, request: Request) -> Request | Routed:
    """At the sender's proxy: the request as routes are asked for it and as it is sent on; or what it is answered."""
    return passed(custom(view.reader.mesh(), view.scope.type), request)


def passed(how: Custom, request: Request) -> Request | Routed:
    """The same at a proxy that does this with each request."""
    headers = tuple((name, value.strip(" \t")) for name, value in request.headers)
    request = replace(request, headers=headers)
    named = [name for name, _ in request.headers if "_" in name]
    if named and how.underscores == REJECT:
        why = f"the header {named[0]} has an underscore, and connectionSettings refuse that"
        return Routed(Unrouted(400, why))
    if how.underscores == DROP:
        headers = tuple(pair for pair in headers if pair[0] not in named)
    if nominated := _hop_by_hop(headers):
        headers = tuple(pair for pair in headers if pair[0].lower() not in nominated)
    if "#" in request.path:
        return _refused(request, f"the path {request.path} has a fragment")
    path = request.path
    found = how.escaped != KEEP and paths.has_escaped_slashes(path)
    if found and (how.escaped == REJECT or (how.escaped == REDIRECT and _is_grpc(request))):
        return _refused(request, f"the path {path} has escaped slashes, and connectionSettings refuse them")
    if found:
        path = paths.with_slashes(path)
    if how.normalised and path.startswith("/"):
        if paths.has_nul(path):
            return _refused(request, f"the path {request.path} has an escaped NUL, and cannot be normalised")
        path = paths.normalised(path)
    if how.merged:
        path = paths.merged(path)
    if found and how.escaped == REDIRECT:
        because = f"connectionSettings say {REDIRECT}, and there are escaped slashes"
        return Routed(Redirected(307, path), (Step("path", request.path, because),))
    return replace(request, path=path, headers=headers)


def _hop_by_hop(headers: Pairs) -> frozenset[str]:
    """Facts (Envoy, tried): what Connection names is for this hop alone."""
    said = ",".join(value for name, value in headers if name.lower() == "connection")
    return frozenset(one.strip().lower() for one in said.split(",")) - {
        "",
        "close",
        "keep-alive",
        "te",
        "upgrade",
    }


def _refused(request: Request, because: str) -> Routed:
    step = Step("path", request.path, because)
    return Routed(replies.unrouted(400, because, by_name(request.headers)), (step,))


def _is_grpc(request: Request) -> bool:
    """Facts (Envoy): who speaks gRPC is not redirected, but refused."""
    return replies.speaks_grpc(by_name(request.headers))
