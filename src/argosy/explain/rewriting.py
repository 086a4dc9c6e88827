"""What a route makes of a request: the path, authority and headers that are sent on, and where a redirect leads.

# Envoy: RouteAction.prefix_rewrite, regex_rewrite, host_rewrite_literal; RedirectAction; HeaderValueOption
"""

from __future__ import annotations

from collections.abc import Sequence

from argosy.explain import paths, regex
from argosy.explain.outcome import HeaderChanges
from argosy.explain.request import Seen, port_start
from argosy.model.ir import HeaderOps, MatchKind, Pairs, Redirect, Rewrite, RouteMatch, StringMatch

_AUTHORITY = ("host", ":authority")


# --- path -----------------------------------------------------------------------------------------------------------


def rewritten_path(rewrite: Rewrite | None, match: RouteMatch, path: str) -> str:
    """Raises regex.Undetermined."""
    if rewrite is None:
        return path
    bare = paths.without_query(path)
    rest = path[len(bare) :]
    if rewrite.regex is not None:
        return regex.replace_all(rewrite.regex, rewrite.regex_substitution, bare) + rest
    if rewrite.uri is None:
        return path
    uri = match.uri
    if uri is not None and uri.kind is MatchKind.REGEX:
        return rewrite.uri + rest
    if uri is not None and uri.kind is MatchKind.PATH_PREFIX and rewrite.uri.endswith("/"):
        prefix = uri.value.rstrip("/")
        return rewrite.uri + bare[len(prefix) :].lstrip("/") + rest
    return replaced(path, uri, rewrite.uri)


def replaced(path: str, uri: StringMatch | None, new: str) -> str:
    """With what `uri` has matched replaced: all of an exact path, a prefix, the first slash where nothing was asked."""
    bare = paths.without_query(path)
    if uri is None:
        matched = 1
    elif uri.kind is MatchKind.REGEX:
        matched = len(bare)
    elif uri.kind is MatchKind.PATH_PREFIX:
        matched = len(uri.value.rstrip("/")) or 1
    else:
        matched = len(uri.value)
    return new + path[matched:]


# --- headers --------------------------------------------------------------------------------------------------------


def host_set_by(ops: HeaderOps | None) -> str:
    """The authority that `set: {Host: …}` asks for; "" for none."""
    found = ""
    for name, value in ops.request_set if ops is not None else ():
        if name.lower() in _AUTHORITY:
            found = value
    return found


def changed(headers: Pairs, ops: Sequence[HeaderOps | None]) -> Pairs:
    """After operations that are applied at once. Facts (Envoy): what goes, goes first; then what is set, then what is
    added."""
    out = list(headers)
    present = [one for one in ops if one is not None]
    for one in present:
        for name in one.request_remove:
            if _may_change(name):
                out = [pair for pair in out if pair[0].lower() != name.lower()]
    for one in present:
        for name, value in one.request_set:
            if _may_change(name):
                out = [pair for pair in out if pair[0].lower() != name.lower()] + [(name.lower(), value)]
    for one in present:
        out += [(name.lower(), value) for name, value in one.request_add if _may_change(name)]
    return tuple(out)


def answered(*parts: Sequence[HeaderOps | None]) -> tuple[HeaderChanges, ...]:
    """What is done to an answer, by the operations of each part at once, one part after the other."""
    found = []
    for part in parts:
        present = [one for one in part if one is not None]
        changes = HeaderChanges(
            removed=tuple(name for one in present for name in one.response_remove if _may_change(name)),
            set=tuple(pair for one in present for pair in one.response_set if _may_change(pair[0])),
            added=tuple(pair for one in present for pair in one.response_add if _may_change(pair[0])),
        )
        found += [changes] if changes != HeaderChanges() else []
    return tuple(found)


def formatted(ops: Sequence[HeaderOps | None]) -> tuple[str, ...]:
    """Headers whose values Envoy computes (`%REQ(x)%`), which is not done here."""
    return tuple(
        name
        for one in ops
        if one is not None
        for name, value in (*one.request_set, *one.request_add, *one.response_set, *one.response_add)
        if "%" in value and _may_change(name)
    )


def _may_change(name: str) -> bool:
    return bool(name) and not name.startswith(":") and name.lower() != "host"


# --- redirects ------------------------------------------------------------------------------------------------------

REDIRECT_CODES = (301, 302, 303, 307, 308)


def redirect_status(action: Redirect) -> int:
    return action.code if action.code in REDIRECT_CODES else 301


def location(action: Redirect, match: RouteMatch, request: Seen, port: int) -> str:
    """`port`: of the virtual host, for FROM_REQUEST_PORT."""
    scheme = action.scheme or request.scheme
    new_port = action.port
    if new_port is None and action.derive_port == "FROM_PROTOCOL_DEFAULT":
        new_port = 443 if action.scheme == "https" else 80
    elif new_port is None and action.derive_port == "FROM_REQUEST_PORT":
        new_port = port or None
    host = action.authority or _redirected_host(request, scheme, new_port)
    at = f":{new_port}" if new_port is not None else ""
    if action.uri:
        query = "" if "?" in action.uri else request.path[len(paths.without_query(request.path)) :]
        path = action.uri + query
    elif action.prefix_rewrite:
        path = replaced(request.path, match.uri, action.prefix_rewrite)
    else:
        path = request.path
    return f"{scheme}://{host}{at}{path}"


def _redirected_host(request: Seen, scheme: str, new_port: int | None) -> str:
    """Without its port where another takes its place, or where it is the default of a scheme that changes."""
    at = port_start(request.authority)
    if at is None:
        return request.authority
    default = {"http": ":80", "https": ":443"}[request.forwarded]
    gone = new_port is not None or (scheme != request.forwarded and request.authority[at:] == default)
    return request.authority[:at] if gone else request.authority
