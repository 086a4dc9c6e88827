"""Names, hosts, addresses, ports, labels: each function answers what is wrong with a value, or None.

# Kubernetes: RFC 1123 labels and subdomains, label syntax; Istio: pkg/config/validation, pkg/config/host
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from argosy.resources.duration import parse_duration

_LABEL = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
_WILDCARD_LABEL = re.compile(
    r"\*|\*-?[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?|[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
)
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_NAME_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_UNIX = "unix://"


def shown(value: object) -> str:
    """A value in a message: quoted, never long."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def is_dns_label(text: str) -> bool:
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def dns_label(text: str) -> str | None:
    if is_dns_label(text):
        return None
    return f"{shown(text)} is not a DNS label; use 1 to 63 letters, digits and '-', not '-' first or last"


def lower_label(text: str) -> str | None:
    """Names of services, ports of endpoints: a lower-case DNS label."""
    if len(text) <= 63 and _NAME_LABEL.fullmatch(text):
        return None
    return f"{shown(text)} is not a lower-case DNS label; use 1 to 63 lower-case letters, digits and '-', as in web-1"


def object_name(text: str) -> str | None:
    """Names of most kinds: a lower-case DNS subdomain."""
    if len(text) <= 253 and _SUBDOMAIN.fullmatch(text):
        return None
    return (
        f"{shown(text)} is not a name; use at most 253 lower-case letters, digits, '-' and '.', as in my-name"
    )


def path_segment(text: str) -> str | None:
    """Names of roles and bindings: anything that can stand in a path, as in system:node."""
    if text in (".", "..") or "/" in text or "%" in text:
        return f"{shown(text)} is not a name; it may not be '.' or '..', or have '/' or '%' in it"
    return None


def namespace_name(text: str) -> str | None:
    if len(text) <= 63 and _NAME_LABEL.fullmatch(text):
        return None
    return f"{shown(text)} is not a namespace; use 1 to 63 lower-case letters, digits and '-', as in shop"


def _length(text: str) -> str | None:
    if not text:
        return "is empty; give a host name"
    if len(text) > 255:
        return f"{shown(text)} has {len(text)} characters; a host name has at most 255"
    return None


def _labels_of(text: str) -> str | None:
    parts = text.split(".")
    if parts[-1].isascii() and parts[-1].isdigit():
        return f"{shown(text)} is not a host name: its last label is a number"
    if parts[-1] == "" and len(parts) > 1:
        parts.pop()  # `istio.io.` is unambiguous
    for part in parts:
        if not is_dns_label(part):
            return f"{shown(text)} is not a host name: label {shown(part)} is not letters, digits and '-'"
    return None


def fqdn(text: str) -> str | None:
    """A host name without wildcard."""
    return _length(text) or _labels_of(text)


def wildcard_host(text: str) -> str | None:
    """A host name; its first label may be or begin with `*`."""
    wrong = _length(text)
    if wrong:
        return wrong
    first, dot, rest = text.partition(".")
    if len(first) > 63 or not _WILDCARD_LABEL.fullmatch(first):
        return f"{shown(text)} is not a host name: label {shown(first)}; '*' may stand first only, as in *.example.com"
    return _labels_of(rest) if dot else None


def partial_wildcard(text: str) -> str | None:
    if "*" in text and text != "*" and not text.startswith("*."):
        return f"partial wildcard {shown(text)} is not allowed; use '*' or '*.' and a domain"
    return None


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def ip(text: str) -> str | None:
    return None if is_ip(text) else f"{shown(text)} is not an IP address"


def subnet(text: str) -> str | None:
    """An IP address or a CIDR block."""
    if "/" not in text:
        return ip(text)
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"{shown(text)} is not a CIDR block; write one as in 10.0.0.0/8"
    length = text.rpartition("/")[2]
    if not (length.isascii() and length.isdigit()):  # Python also takes a netmask
        return f"{shown(text)} is not a CIDR block; write the prefix length, as in 10.0.0.0/8"
    return None


def port(number: int) -> str | None:
    return None if 1 <= number <= 65535 else f"{number} is not a port; use 1 to 65535"


def host_and_port(text: str) -> tuple[str, str] | None:
    """Of `HOST:PORT` and `[IPv6]:PORT`, either of which may be empty; None where it has another form."""
    host, colon, number = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], number
    return (host, number) if colon and not set("[]:") & set(host) else None


def address(text: str) -> str | None:
    """Where a server is: a host name or an IP address, and a port."""
    parts = host_and_port(text)
    if parts is None or not parts[0] or not (is_ip(parts[0]) or fqdn(parts[0]) is None):
        return f"{shown(text)} is not an address; write HOST:PORT"
    return port_text(parts[1])


def port_text(text: str) -> str | None:
    if text.isascii() and text.isdigit() and len(text) <= 5:
        return port(int(text))
    return f"{shown(text)} is not a port; use 1 to 65535"


def non_negative(number: int) -> str | None:
    return None if number >= 0 else f"{number} is negative; use 0 or more"


def percent(value: float) -> str | None:
    return None if 0 <= value <= 100 else f"{value:g} is not between 0 and 100"


def duration(text: str | None) -> str | None:
    """At least a millisecond, where it is given."""
    if text is None:
        return None
    try:
        milliseconds = parse_duration(text)
    except ValueError as error:
        return str(error)
    return None if milliseconds >= 1 else f"{shown(text)} is less than 1ms; give more, or leave it out"


def duration_or_zero(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parse_duration(text)
    except ValueError as error:
        return str(error)
    return None


def is_unix(address: str) -> bool:
    return address.startswith(_UNIX)


def unix_address(address: str) -> str | None:
    """`unix://` and an absolute path to a file, or `@` and an abstract name."""
    path = address.removeprefix(_UNIX)
    if path.startswith("@") or (path.startswith("/") and not path.endswith("/")):
        return None
    return f"{shown(address)} is not a socket; write unix:// and an absolute path to a file, or unix://@name"


def label_key(key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix)):
        return f"key {shown(key)}: {shown(prefix)} is not a DNS name"
    if len(name) > 63 or not _QUALIFIED.fullmatch(name):
        return f"key {shown(key)} is not a label key; use 1 to 63 letters, digits, '-', '_' and '.'"
    return None


def label_value(value: str) -> str | None:
    if value == "" or (len(value) <= 63 and _QUALIFIED.fullmatch(value)):
        return None
    return f"{shown(value)} is not a label value; use at most 63 letters, digits, '-', '_' and '.'"


def labels(values: dict[str, str]) -> Iterable[str]:
    """Every thing wrong with a map of labels."""
    for key, value in values.items():
        for wrong in (label_key(key), label_value(value)):
            if wrong is not None:
                yield wrong


def covers(pattern: str, host: str) -> bool:
    """Whether every name that `host` stands for is one that `pattern` stands for."""
    if not pattern.startswith("*"):
        return pattern == host
    return host.endswith(pattern[1:])


def overlapping(hosts: Sequence[str]) -> dict[int, str]:
    """Index of each host that stands for a name of an earlier one -> the earlier. Its cost is that of reading them."""
    first: dict[str, int] = {}
    for index, host in enumerate(hosts):
        first.setdefault(host, index)
    found: dict[int, str] = {}
    for index, host in enumerate(hosts):
        dots = (at for at, char in enumerate(host) if char == ".")
        for pattern in (host, "*", *("*" + host[at:] for at in dots)):
            other = first.get(pattern, index)
            if other != index:
                found.setdefault(max(index, other), hosts[min(index, other)])
    return dict(sorted(found.items()))
