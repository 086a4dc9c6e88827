"""Whether a route is for a request, and if not, what is the first condition that fails.

A comment beside each loop says ANY or ALL. What a condition says of a request is "" where it holds.
# Envoy: config.route.v3.RouteMatch, HeaderMatcher, QueryParameterMatcher; type.matcher.v3.StringMatcher
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.explain import regex
from argosy.explain.request import Seen
from argosy.model.ir import ClaimMatch, MatchKind, NamedMatch, RouteMatch, StringMatch


def failed(match: RouteMatch, request: Seen) -> str:
    """The first condition that does not hold; "" where ALL do. Raises regex.Undetermined."""
    if match.uri is not None and not path_matches(match.uri, request.path_only):
        return f"path {request.path_only} {_is_not(match.uri)}"
    if match.uri is None and not request.path.startswith("/"):
        return f"path {request.path} does not begin with /"
    # ALL of the pseudo headers
    for name, wanted, value in (
        ("method", match.method, request.method),
        ("authority", match.authority, request.authority),
        ("scheme", match.scheme, request.scheme),
    ):
        if wanted is not None and not string_matches(wanted, value):
            return f"{name} {value} {_is_not(wanted)}"
    for header in match.headers:  # ALL
        if why := _header(header, request):
            return why
    for claim in match.claims:  # ALL
        if why := _claim(claim, request):
            return why
    parameters = query_parameters(request.path)
    for parameter in match.query:  # ALL
        if why := _query(parameter, parameters):
            return why
    return ""


def path_matches(wanted: StringMatch, path: str) -> bool:
    """`path` without its query."""
    value = wanted.value
    if wanted.kind is MatchKind.PATH_PREFIX:
        value = value.rstrip("/")
        begins = string_matches(StringMatch(MatchKind.PREFIX, value, wanted.ignore_case), path)
        return begins and (not value or path[len(value) : len(value) + 1] in ("", "/"))
    return string_matches(wanted, path)


def string_matches(wanted: StringMatch, value: str) -> bool:
    expected = wanted.value
    if wanted.ignore_case and wanted.kind is not MatchKind.REGEX:
        expected, value = lower(expected), lower(value)
    match wanted.kind:
        case MatchKind.EXACT:
            return value == expected
        case MatchKind.PREFIX | MatchKind.PATH_PREFIX:
            return value.startswith(expected)
        case MatchKind.REGEX:
            return regex.full_match(expected, value)
        case MatchKind.PRESENT:
            return True


def lower(text: str) -> str:
    """ASCII letters alone: what Envoy means by ignoring case."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def _header(wanted: NamedMatch, request: Seen) -> str:
    """Facts (Envoy, since 1.39): ANY of several values; a header that is missing fails, but where its absence is asked
    for it counts as empty."""
    name = wanted.name.lower()
    values = (request.authority,) if name == "host" else request.headers.get(name, ())
    shown = ", ".join(values)
    if wanted.match.kind is MatchKind.PRESENT:
        if wanted.invert:
            return f"header {name} is there ({shown})" if values else ""
        return "" if values else f"header {name} is not there"
    if wanted.invert:
        if any(string_matches(wanted.match, value) for value in values or ("",)):
            return f"header {name} {shown or 'is empty or not there, and'} {_is(wanted.match)}"
        return ""
    if not values:
        return f"header {name} is not there"
    if any(string_matches(wanted.match, value) for value in values):
        return ""
    return f"header {name} {shown} {_is_not(wanted.match)}"


def _claim(wanted: ClaimMatch, request: Seen) -> str:
    """Facts (Envoy, tried): ANY text of a list; what is neither text nor list matches nothing but that it is there."""
    found: Any = request.claims
    for part in wanted.path:
        found = found.get(part, _MISSING) if isinstance(found, Mapping) else _MISSING
    if wanted.match.kind is MatchKind.PRESENT:
        holds = found is not _MISSING
    else:
        texts = [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str)]
        holds = any(string_matches(wanted.match, one) for one in texts)
    if holds is not wanted.invert:
        return ""
    if request.claims is None:
        return f"claim {wanted.name}: the request has no token that was verified"
    if wanted.invert:
        return f"claim {wanted.name} {_is(wanted.match)}"
    return f"claim {wanted.name} {'is not there' if found is _MISSING else _is_not(wanted.match)}"


_MISSING = object()


def query_parameters(path: str) -> dict[str, str]:
    """As written, not decoded; of several of one name the first."""
    found: dict[str, str] = {}
    _, _, query = path.partition("?")
    for part in query.partition("#")[0].split("&"):
        name, _, value = part.partition("=")
        found.setdefault(name, value)
    return found


def _query(wanted: NamedMatch, parameters: dict[str, str]) -> str:
    value = parameters.get(wanted.name)
    if value is None:
        return f"query parameter {wanted.name} is not there"
    if string_matches(wanted.match, value):
        return ""
    return f"query parameter {wanted.name}={value} {_is_not(wanted.match)}"


_SAYS = {
    MatchKind.EXACT: ("is {}", "is not {}"),
    MatchKind.PREFIX: ("begins with {}", "does not begin with {}"),
    MatchKind.REGEX: ("matches {}", "does not match {}"),
    MatchKind.PRESENT: ("is there", "is not there"),
    MatchKind.PATH_PREFIX: ("is {} or below", "is not {} or below"),
}


def _is(match: StringMatch) -> str:
    return _SAYS[match.kind][0].format(match.value) + (" (in any case)" if match.ignore_case else "")


def _is_not(match: StringMatch) -> str:
    return _SAYS[match.kind][1].format(match.value or "(empty)") + (
        " (in any case)" if match.ignore_case else ""
    )


def described(match: RouteMatch) -> str:
    """The conditions in words."""
    parts = [f"path {_is(match.uri)}"] if match.uri is not None else []
    for name, wanted in (("method", match.method), ("authority", match.authority), ("scheme", match.scheme)):
        if wanted is not None:
            parts.append(f"{name} {_is(wanted)}")
    for header in match.headers:
        says = _is(header.match)
        parts.append(
            f"header {header.name} not so that it {says}" if header.invert else f"header {header.name} {says}"
        )
    for claim in match.claims:
        says = _is(claim.match)
        parts.append(f"claim {claim.name} {'not so that it ' if claim.invert else ''}{says}")
    parts += [f"query parameter {one.name} {_is(one.match)}" for one in match.query]
    return ", ".join(parts) or "everything"
