"""What a route asks of a request: string, header, query and path matchers."""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import metadata_pb2, regex_pb2, string_pb2

from argosy.model.ir import ClaimMatch, MatchKind, NamedMatch, RouteMatch, StringMatch
from argosy.translate import names
from argosy.translate.filters import request_authentication


def string_matcher(match: StringMatch) -> string_pb2.StringMatcher:
    match match.kind:
        case MatchKind.EXACT:
            return string_pb2.StringMatcher(exact=match.value, ignore_case=match.ignore_case)
        case MatchKind.PREFIX | MatchKind.PATH_PREFIX if match.value:
            return string_pb2.StringMatcher(prefix=match.value, ignore_case=match.ignore_case)
        case MatchKind.REGEX:
            return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=match.value))
        case _:  # PRESENT, or a prefix that everything has
            return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=".*"))


def route_match(match: RouteMatch) -> route_components_pb2.RouteMatch:
    out = _path(match.uri)
    out.headers.extend(header(named) for named in match.headers)
    for name, value in (
        (":method", match.method),
        (":authority", match.authority),
        (":scheme", match.scheme),
    ):
        if value is not None:
            out.headers.append(header(NamedMatch(name, value)))
    for named in match.query:
        parameter = out.query_parameters.add(name=named.name)
        if named.match.kind is MatchKind.PRESENT:
            parameter.present_match = True
        else:
            parameter.string_match.CopyFrom(string_matcher(named.match))
    out.dynamic_metadata.extend(claim(one) for one in match.claims)
    return out


def claim(match: ClaimMatch) -> metadata_pb2.MetadataMatcher:
    """Of what the filter of RequestAuthentication has read: a text, or ANY text of a list."""
    out = metadata_pb2.MetadataMatcher(filter=names.REQUEST_AUTHENTICATION, invert=match.invert)
    for part in (request_authentication.PAYLOAD, *match.path):
        out.path.add(key=part)
    if match.match.kind is MatchKind.PRESENT:
        out.value.present_match = True
        return out
    value = string_matcher(match.match)
    either = out.value.or_match.value_matchers
    either.add().string_match.CopyFrom(value)
    either.add().list_match.one_of.string_match.CopyFrom(value)
    return out


def header(named: NamedMatch) -> route_components_pb2.HeaderMatcher:
    out = route_components_pb2.HeaderMatcher(name=named.name, invert_match=named.invert)
    if named.match.kind is MatchKind.PRESENT:
        out.present_match = True
        return out
    out.string_match.CopyFrom(string_matcher(named.match))
    # Envoy: a missing header fails even an inverted match, unless it counts as empty.
    out.treat_missing_header_as_empty = named.invert
    return out


def _path(uri: StringMatch | None) -> route_components_pb2.RouteMatch:
    if uri is None:
        return route_components_pb2.RouteMatch(prefix="/")
    out = route_components_pb2.RouteMatch()
    value = uri.value
    match uri.kind:
        case MatchKind.EXACT:
            out.path = value
        case MatchKind.PREFIX:
            out.prefix = value
        case MatchKind.PATH_PREFIX if value.rstrip("/"):
            out.path_separated_prefix = value.rstrip("/")
        case MatchKind.REGEX:
            out.safe_regex.regex = value
        case _:
            out.prefix = "/"
    if uri.ignore_case:
        out.case_sensitive.value = False
    return out
