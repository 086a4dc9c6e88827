"""Filters of HTTP and gRPC routes: the field that the type names is set, and each filter stands once.

# Gateway API: apis/v1/{httproute,grpcroute}_types.go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from argosy.resources.gateway_api.grpc_route import GRPCRouteFilter
from argosy.resources.gateway_api.http_route import (
    HTTPCORSFilter,
    HTTPExternalAuthFilter,
    HTTPHeader,
    HTTPHeaderFilter,
    HTTPMethod,
    HTTPPathModifier,
    HTTPRequestMirrorFilter,
    HTTPRouteFilter,
)
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.gateway_api import references

_ONCE = frozenset(
    ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS")
)
_METHODS = frozenset((*(str(method) for method in HTTPMethod), "*"))


def check(path: str, filters: Sequence[HTTPRouteFilter | GRPCRouteFilter], findings: Findings) -> None:
    seen: set[str] = set()
    for index, one in enumerate(filters):
        at, type_ = f"{path}[{index}]", str(one.type)
        if type_ in seen and type_ in _ONCE:
            findings.error(f"{at}.type", f"{type_} is there twice; join them in one")
        if {"RequestRedirect", "URLRewrite"} <= seen | {type_} and type_ in ("RequestRedirect", "URLRewrite"):
            findings.error(f"{at}.type", "RequestRedirect and URLRewrite exclude each other; keep one")
        seen.add(type_)
        _fields(at, type_, _fields_of(one), findings)
        _contents(at, one, findings)


def _fields_of(one: HTTPRouteFilter | GRPCRouteFilter) -> Mapping[str, tuple[str, object]]:
    """Type -> the field that it names, and what stands there."""
    found: dict[str, tuple[str, object]] = {
        "RequestHeaderModifier": ("requestHeaderModifier", one.request_header_modifier),
        "ResponseHeaderModifier": ("responseHeaderModifier", one.response_header_modifier),
        "RequestMirror": ("requestMirror", one.request_mirror),
        "ExtensionRef": ("extensionRef", one.extension_ref),
    }
    if isinstance(one, HTTPRouteFilter):
        found |= {
            "RequestRedirect": ("requestRedirect", one.request_redirect),
            "URLRewrite": ("urlRewrite", one.url_rewrite),
            "CORS": ("cors", one.cors),
            "ExternalAuth": ("externalAuth", one.external_auth),
        }
    return found


def _fields(path: str, type_: str, fields: Mapping[str, tuple[str, object]], findings: Findings) -> None:
    for of_type, (name, value) in fields.items():
        if of_type == type_ and value is None:
            findings.error(f"{path}.{name}", f"is missing, which type {type_} needs; give it")
        elif of_type != type_ and value is not None:
            findings.error(f"{path}.{name}", f"is not for type {type_}; remove it, or use type {of_type}")


def _contents(path: str, one: HTTPRouteFilter | GRPCRouteFilter, findings: Findings) -> None:
    _headers(f"{path}.requestHeaderModifier", one.request_header_modifier, findings)
    _headers(f"{path}.responseHeaderModifier", one.response_header_modifier, findings)
    _mirror(f"{path}.requestMirror", one.request_mirror, findings)
    if not isinstance(one, HTTPRouteFilter):
        return
    if one.request_redirect is not None:
        _modifier(f"{path}.requestRedirect.path", one.request_redirect.path, findings)
    if one.url_rewrite is not None:
        _modifier(f"{path}.urlRewrite.path", one.url_rewrite.path, findings)
    _cors(f"{path}.cors", one.cors, findings)
    _authorization(f"{path}.externalAuth", one.external_auth, findings)


def _headers(path: str, modifier: HTTPHeaderFilter | None, findings: Findings) -> None:
    if modifier is None:
        return
    for name, headers in (("set", modifier.set), ("add", modifier.add)):
        check_names(f"{path}.{name}", [header.name for header in headers], findings)
        for index, header in enumerate(headers):
            findings.error(f"{path}.{name}[{index}].value", header_value(header))
    check_names(f"{path}.remove", modifier.remove, findings)


def check_names(path: str, written: Sequence[str], findings: Findings) -> None:
    """A list that has a key has each key once."""
    seen: set[str] = set()
    for index, name in enumerate(written):
        if name in seen:
            findings.error(f"{path}[{index}]", f"{names.shown(name)} is there twice; keep one")
        seen.add(name)


def header_value(header: HTTPHeader) -> str | None:
    if all(character == "\t" or " " <= character != "\x7f" for character in header.value):
        return None
    return f"{names.shown(header.value)} has control characters in it; remove them"


def _mirror(path: str, mirror: HTTPRequestMirrorFilter | None, findings: Findings) -> None:
    if mirror is None:
        return
    references.check_backend(f"{path}.backendRef", mirror.backend_ref, findings)
    references.check_fraction(f"{path}.fraction", mirror.fraction, findings)
    if mirror.percent is not None and mirror.fraction is not None:
        findings.error(f"{path}.fraction", "cannot stand beside percent; keep one of them")


def _modifier(path: str, modifier: HTTPPathModifier | None, findings: Findings) -> None:
    if modifier is None:
        return
    for type_, name, value in (
        ("ReplaceFullPath", "replaceFullPath", modifier.replace_full_path),
        ("ReplacePrefixMatch", "replacePrefixMatch", modifier.replace_prefix_match),
    ):
        if modifier.type == type_ and value is None:
            findings.error(f"{path}.{name}", f"is missing, which type {type_} needs; give it")
        elif modifier.type != type_ and value is not None:
            findings.error(
                f"{path}.{name}", f"is not for type {modifier.type}; remove it, or use type {type_}"
            )


def _cors(path: str, cors: HTTPCORSFilter | None, findings: Findings) -> None:
    if cors is None:
        return
    for name, values in (
        ("allowOrigins", cors.allow_origins),
        ("allowMethods", cors.allow_methods),
        ("allowHeaders", cors.allow_headers),
    ):
        if "*" in values and len(values) > 1:
            findings.error(f"{path}.{name}", "has * beside others; keep * alone, or the others")
        check_names(f"{path}.{name}", values, findings)
    for index, origin in enumerate(cors.allow_origins):
        findings.error(f"{path}.allowOrigins[{index}]", _origin(origin))
    for index, method in enumerate(cors.allow_methods):
        if method not in _METHODS:
            findings.error(
                f"{path}.allowMethods[{index}]",
                f"{names.shown(method)} is not one of {', '.join(sorted(_METHODS))}",
            )


def _origin(text: str) -> str | None:
    scheme, mark, rest = text.partition("://")
    host, colon, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    known = text == "*" or (
        bool(mark)
        and scheme in ("http", "https")
        and (not colon or (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535))
        and names.wildcard_host(host.removeprefix("*.") if host != "*" else host) is None
    )
    return None if known else f"{names.shown(text)} is not an origin; write one as https://example.com"


def _authorization(path: str, auth: HTTPExternalAuthFilter | None, findings: Findings) -> None:
    if auth is None:
        return
    references.check_backend(f"{path}.backendRef", auth.backend_ref, findings)
    for protocol, name, value in (("GRPC", "grpc", auth.grpc), ("HTTP", "http", auth.http)):
        if auth.protocol == protocol and value is None:
            findings.error(f"{path}.{name}", f"is missing, which protocol {protocol} needs; give it")
        elif auth.protocol != protocol and value is not None:
            findings.error(f"{path}.{name}", f"is not for protocol {auth.protocol}; remove it")
