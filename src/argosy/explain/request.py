"""A request as its sender writes it, and as a proxy sees it when it looks for a route.

# Envoy: HeaderMapImpl (which names hold one value, joined by commas)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from argosy.explain import paths
from argosy.model.hostnames import is_address
from argosy.model.ir import Pairs


class Spoken(StrEnum):
    """What the sender speaks on its connection."""

    HTTP = "http"
    TLS = "tls"  # nothing but the name in its hello can be seen
    TCP = "tcp"


class ClientCertificate(StrEnum):
    """What a client shows where TLS ends at a gateway."""

    UNKNOWN = ""
    NONE = "none"
    TRUSTED = "trusted"  # by the server's authorities
    UNTRUSTED = "untrusted"


class Certified(Struct, frozen=True, kw_only=True):
    """What stands in a client's certificate."""

    names: tuple[str, ...] = ()  # subject alternative names, whatever they are the names of
    spki: str = ""  # SHA-256 of the public key, base64
    digest: str = ""  # SHA-256 of the certificate, hexadecimal


Claims = Mapping[str, Any]
"""As JSON has them, lists that are written with spaces made lists."""


class Request(Struct, frozen=True, kw_only=True):
    authority: str  # `host` or `host:port`, as in a URL
    method: str = "GET"
    path: str = "/"  # with its query
    headers: Pairs = ()  # in their order, names in any case
    spoken: Spoken = Spoken.HTTP
    port: int = 80  # that it is sent to
    address: str = ""  # that it is sent to, where interception sees one; "": the service's own
    source: str = ""  # the address that it comes from; "": the sender's own, where that is known
    server_name: str | None = None  # in the TLS hello, "" for none; None: that of the authority
    certificate: ClientCertificate = ClientCertificate.UNKNOWN
    certified: Certified | None = None  # None: what the server asks for, as far as that goes
    claims: Claims | None = None  # of a token that the proxy has verified; None: of none

    @property
    def host(self) -> str:
        return host_of(self.authority)

    @property
    def hello(self) -> str:
        """The name in the TLS hello; "": there is none."""
        if self.spoken is not Spoken.TLS:
            return ""
        return self.host if self.server_name is None else self.server_name


class BadRequest(ValueError):
    """What cannot be a request; the message says why."""


class Trust(StrEnum):
    """What a proxy believes of x-forwarded-proto."""

    ALL = "all"  # a captured request says by it how it began
    BESIDE_URL = "beside-url"  # the request's own URL says its scheme; the header is kept
    NOTHING = "nothing"  # a gateway's own connection is what counts, unless there are proxies before it


class Seen(Struct, frozen=True):
    """What routes are compared with."""

    method: str
    scheme: str
    forwarded: str  # x-forwarded-proto
    authority: str
    path: str  # with its query
    headers: dict[str, tuple[str, ...]]  # names in lower case
    claims: Claims | None = None

    @property
    def path_only(self) -> str:
        return paths.without_query(self.path)


HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "host")
)
"""Headers that a proxy takes for itself."""


JOINED = frozenset(
    (
        "accept", "accept-encoding", "authorization", "cache-control", "content-type", "expect", "grpc-timeout",
        "if-match", "origin", "referer", "user-agent", "via", "x-client-trace-id", "x-envoy-decorator-operation",
        "x-envoy-external-address", "x-envoy-original-path", "x-forwarded-for", "x-forwarded-host",
        "x-forwarded-proto", "x-request-id",
    )
)  # fmt: skip
"""Headers of which Envoy keeps one value, further ones joined to it by commas, but for empty ones (1.40, tried). Of the
others each line is a value."""


def seen(request: Request, trust: Trust) -> Seen:
    """Of a request as it arrived (arrival.py).

    TLS that is looked into has ended here: its scheme is https. Facts (Envoy, tried): x-forwarded-proto is there before
    a route is looked for, whoever wrote it.
    """
    headers = by_name(request.headers)
    own = "https" if request.spoken is Spoken.TLS else "http"
    told = "".join(headers.get("x-forwarded-proto", ())).lower() if trust is not Trust.NOTHING else ""
    forwarded = told if told in ("http", "https") else own
    if not told:
        headers["x-forwarded-proto"] = (own,)
    return Seen(
        method=request.method,
        scheme=forwarded if trust is Trust.ALL else own,
        forwarded=forwarded,
        authority=request.authority,
        path=request.path,
        headers=headers,
        claims=request.claims,
    )


def by_name(headers: Pairs) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        key = name.lower()
        if key not in HOP_BY_HOP:
            found.setdefault(key, []).append(value)
    return {
        key: (",".join(filter(None, values)),) if key in JOINED else tuple(values)
        for key, values in found.items()
    }


def host_of(authority: str) -> str:
    """Without its port."""
    at = port_start(authority)
    return authority if at is None else authority[:at]


def port_of(authority: str) -> int | None:
    at = port_start(authority)
    if at is None or not authority[at + 1 :].isdigit():
        return None
    return int(authority[at + 1 :])


def port_start(authority: str) -> int | None:
    """Where `:port` begins. Facts (Envoy): the last colon, but one within brackets belongs to an IPv6 address."""
    at = authority.rfind(":")
    return None if at < 0 or authority.rfind("]") > at else at


DEFAULT_PORT = {"http": 80, "https": 443}
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def _is_closed(host: str) -> bool:
    """Whether it has no bracket, or is an IPv6 address within two."""
    if "[" not in host and "]" not in host:
        return True
    return host[0] == "[" and host[-1] == "]" and ":" in host and is_address(host[1:-1])


def to(destination: str, *, method: str = "GET", headers: Pairs = ()) -> tuple[Request, bool]:
    """The request that `http://host:port/path`, `https://…`, `tcp://…` or `host:port` means, and whether what is spoken
    is said (else it is as the port's protocol is). A Host header stands for the authority; then an address in the URL
    is where it is sent to. Raises BadRequest."""
    scheme, separator, rest = destination.partition("://")
    if not separator:
        scheme, rest = "", destination
    if scheme not in ("", "http", "https", "tcp"):
        raise BadRequest(f"{destination}: {scheme}:// is not known; use http, https or tcp")
    if not TOKEN.fullmatch(method):
        raise BadRequest(f"{method!r} is no method; write GET, POST or another word")
    ends = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    cut = min(ends, default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    host = host_of(authority)
    if not host or any(char in authority for char in " @#") or not _is_closed(host):
        raise BadRequest(f"{destination}: names no host; write http://reviews:9080/path or reviews:9080")
    if port_start(authority) is not None and port_of(authority) is None:
        raise BadRequest(f"{destination}: {authority[(port_start(authority) or 0) + 1 :]!r} is not a port")
    named_port = port_of(authority)
    if named_port is not None and not 0 < named_port < 65536:
        raise BadRequest(f"{destination}: there is no port {named_port}; they go from 1 to 65535")
    if not path.startswith("/"):
        path = "/" + path
    port = named_port or DEFAULT_PORT.get(scheme, 80)
    named = next((value for name, value in headers if name.lower() in ("host", ":authority")), "")
    spoken = {"https": Spoken.TLS, "tcp": Spoken.TCP}.get(scheme, Spoken.HTTP)
    rest_of_headers = tuple(pair for pair in headers if pair[0].lower() not in ("host", ":authority"))
    request = Request(
        authority=named or authority,
        method=method,
        path=path.partition("#")[0],
        headers=rest_of_headers,
        spoken=spoken,
        port=port,
        address=host_of(authority) if named and is_address(host_of(authority)) else "",
    )
    return request, bool(scheme)
