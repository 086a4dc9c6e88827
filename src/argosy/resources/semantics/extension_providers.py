"""Extension providers of MeshConfig: who is asked for decisions, and who gets spans and log lines.

What is wrong with one is a warning, as in Istio: it matters where a policy names it.
# Istio: validateExtensionProvider
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from argosy.resources.duration import parse_duration
from argosy.resources.providers import SERVED, LogFormat
from argosy.resources.semantics import format_strings, headers, names
from argosy.resources.semantics.findings import Findings

_TRACERS = frozenset(("zipkin", "lightstep", "datadog", "opencensus", "skywalking", "opentelemetry"))
_LOGS = frozenset(("envoyOtelAls", "envoyHttpAls", "envoyTcpAls"))
_SERVED = _TRACERS | _LOGS | {"envoyExtAuthzHttp", "envoyExtAuthzGrpc"}
_LOCAL = frozenset(("prometheus", "stackdriver", "envoyFileAccessLog", "sds"))
_AUTHORIZERS = frozenset(("envoyExtAuthzHttp", "envoyExtAuthzGrpc"))
_HEADERS = (
    "includeHeadersInCheck",
    "includeRequestHeadersInCheck",
    "headersToUpstreamOnAllow",
    "headersToDownstreamOnDeny",
    "headersToDownstreamOnAllow",
)
_NOT_OF_ENVOY = (101, 102, 103, 418, 425, 451)
_STATUSES = frozenset(str(status.value) for status in HTTPStatus if status not in _NOT_OF_ENVOY)
"""# Envoy: type.v3.StatusCode"""


def check(path: str, providers: Sequence[dict[str, Any]], findings: Findings) -> None:
    seen: set[str] = set()
    for i, provider in enumerate(providers):
        at = f"{path}[{i}]"
        name = provider.get("name")
        if not isinstance(name, str) or not name:
            findings.warn(f"{at}.name", "is missing; name the provider")
        elif name in seen:
            findings.warn(f"{at}.name", f"{names.shown(name)} is there twice; give each its own name")
        else:
            seen.add(name)
        _provider(at, provider, findings)


def _provider(path: str, provider: dict[str, Any], findings: Findings) -> None:
    given = [name for name in provider if name in _SERVED | _LOCAL]
    if len(given) != 1:
        said = (
            f"has {' and '.join(given)}; keep one" if given else "says nothing that is known; give it a kind"
        )
        findings.warn(path, f"{said} of provider")
    for kind in given:
        body = provider[kind] or {}
        if not isinstance(body, dict):
            findings.warn(f"{path}.{kind}", f"{names.shown(body)} is not a mapping")
            continue
        if (struct := SERVED.get(kind)) is not None:
            try:
                read = msgspec.convert(body, struct, str_keys=True)
                _format(f"{path}.{kind}.logFormat", getattr(read, "log_format", None), findings)
            except msgspec.ValidationError as error:
                effect = "policies that name it deny" if kind in _AUTHORIZERS else "nothing is sent to it"
                findings.warn(f"{path}.{kind}", f"{error}; until then {effect}")
        if kind in _SERVED:
            _remote(f"{path}.{kind}", kind, body, findings)


def _format(path: str, written: LogFormat | None, findings: Findings) -> None:
    if written is not None:
        wrong = format_strings.anywhere(written.text) or format_strings.in_any(written.labels)
        findings.warn(path, f"{wrong}; until then lines have the usual form" if wrong else None)


def _remote(path: str, kind: str, body: dict[str, Any], findings: Findings) -> None:
    service, port = body.get("service"), body.get("port")
    findings.warn(f"{path}.service", _service(service))
    known = isinstance(port, int) and not isinstance(port, bool)
    findings.warn(
        f"{path}.port", names.port(port) if known and isinstance(port, int) else "is missing; give it"
    )
    status = body.get("statusOnError")
    if status and str(status) not in _STATUSES:
        findings.warn(f"{path}.statusOnError", f"{names.shown(status)} is not an HTTP status; use one as 503")
    prefix = body.get("pathPrefix")
    if kind == "envoyExtAuthzHttp" and prefix and not str(prefix).startswith("/"):
        findings.warn(
            f"{path}.pathPrefix", f"{names.shown(prefix)} does not begin with '/'; write that first"
        )
    if kind in _AUTHORIZERS:
        _authorizer(path, body, findings)
    if kind == "lightstep" and not body.get("accessToken"):
        findings.warn(f"{path}.accessToken", "is missing; give it")
    if kind == "opentelemetry" and body.get("grpc") is not None and body.get("http") is not None:
        findings.warn(path, "has grpc and http; keep one of them")


def _authorizer(path: str, body: dict[str, Any], findings: Findings) -> None:
    for field in _HEADERS:
        listed = body.get(field) or ()
        for at, name in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(name, str):
                findings.warn(f"{path}.{field}[{at}]", _header_pattern(name))
    added = body.get("includeAdditionalHeadersInCheck") or {}
    for name, value in added.items() if isinstance(added, dict) else ():
        findings.warn(f"{path}.includeAdditionalHeadersInCheck[{name!r}]", headers.name(str(name)))
        if isinstance(value, str):
            findings.warn(f"{path}.includeAdditionalHeadersInCheck[{name!r}]", headers.sendable(value))
    shown = body.get("includeRequestBodyInCheck")
    size = shown.get("maxRequestBytes") if isinstance(shown, dict) else None
    if isinstance(shown, dict) and not (isinstance(size, int) and 0 < size < 1 << 32):
        findings.warn(
            f"{path}.includeRequestBodyInCheck.maxRequestBytes", "is missing, or none; give it, as 8192"
        )
    timeout = body.get("timeout")
    if isinstance(timeout, str):
        try:
            parse_duration(timeout)
        except ValueError as error:
            findings.warn(f"{path}.timeout", str(error))


def _header_pattern(name: str) -> str | None:
    if name.strip("*") == "":
        return f"{names.shown(name)} would be every header; name a beginning or an end beside the *"
    return None


def wrong_authorizer(kind: str, body: Any) -> bool:
    """Whether something is wrong with a provider that decides for policies: then none is there."""
    findings = Findings()
    if not isinstance(body, dict):
        return True
    _remote("", kind, body, findings)
    return bool(findings.warnings)


def _service(value: Any) -> str | None:
    """`[namespace/]host`, or an address."""
    if not isinstance(value, str) or not value:
        return "is missing; name the service"
    namespace, slash, host = value.partition("/")
    if not slash:
        return None if names.is_ip(value) else names.fqdn(value)
    if namespace not in ("*", "."):
        wrong = names.dns_label(namespace)
        if wrong is not None:
            return wrong
    return names.wildcard_host(host)
