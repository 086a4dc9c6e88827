"""What `argosy server` is told: roles, addresses, directories, lifetimes. Parsed and checked before anything starts."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from argosy.identity.authority import DEFAULT_TTL, SHORTEST_TTL
from argosy.runtime.errors import Failure
from argosy.runtime.hosts import is_wildcard, parsed
from argosy.server.fetching import REFRESH, Network

TRUST_DOMAIN = "cluster.local"
SMALLEST_AUDIT = 64 << 10
_NAME = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Role(StrEnum):
    API = "api"
    XDS = "xds"
    CA = "ca"


class Address(Struct, frozen=True):
    host: str
    port: int  # 0: any free one

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Settings(Struct, frozen=True, kw_only=True):
    state: Path
    store: str = ""  # a URL; "": the file of the state directory
    secrets_key_file: Path | None = None  # None: in the state directory
    roles: frozenset[Role] = frozenset(Role)
    api: Address = Address("127.0.0.1", 16443)
    xds: Address = Address("127.0.0.1", 15012)
    ca: Address = Address("127.0.0.1", 15013)
    status: Address = Address("127.0.0.1", 15014)
    advertise: str = ""  # the host that others are told; "": see `advertise.py`
    attest_socket: Path | None = None  # None: in the runtime directory
    api_socket: Path | None = None  # None: in the runtime directory
    token_file: Path | None = None  # of users who are no objects
    client_ca_file: Path | None = None  # an authority for the API's clients beside our own
    audit_log: Path | None = None  # None: in the state directory
    audit_bytes: int = 64 << 20  # of each of its files
    audit_keep: int = 8  # files beside the newest
    trust_domain: str = ""  # "": as the mesh has it; TRUST_DOMAIN for a new one
    cert_ttl: int = DEFAULT_TTL  # seconds
    max_cert_ttl: int = 0  # seconds; 0: as cert_ttl
    join: Address | None = None  # the CA port of a server that holds the root of the mesh to join
    join_token: str = ""
    jwks_refresh: float = REFRESH  # seconds, after which the keys of issuers are fetched again
    jwks_allow: tuple[Network, ...] = ()  # from where keys are fetched although it would be refused


def address(option: str, text: str) -> Address:
    """`host:port`. Raises Failure that names the option."""
    found = re.fullmatch(r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})", text)
    if not found or int(found["port"]) > 65535:
        raise Failure(
            f"{option} {text!r} is not HOST:PORT", f"for example: {option} 127.0.0.1:0 (any free port)"
        )
    return Address(found["six"] or found["host"] or "127.0.0.1", int(found["port"]))


def advertised(text: str) -> str:
    """A host that others can connect to: a name or an IP address. Raises Failure that names the option."""
    host = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    if parsed(host):
        usable = not is_wildcard(host)
    else:
        last = host.rstrip(".").rpartition(".")[2]
        usable = _NAME.fullmatch(host) is not None and not last.isdigit()  # 10.0.0.256 is no name
    if not usable:
        raise Failure(
            f"--advertise-address {text!r} is not a host that others can connect to",
            "an IP address or a name, without a port: --advertise-address 192.0.2.7",
        )
    return host


def roles(text: str) -> frozenset[Role]:
    """A list with commas. Raises Failure."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in set(Role):
            raise Failure(f"--roles: {name!r} is no role", f"choose of {', '.join(Role)}")
    if not names:
        raise Failure("--roles names no role", f"choose of {', '.join(Role)}")
    return frozenset(Role(name) for name in names)


def lifetime(option: str, text: str) -> int:
    """`48h`, `90m`, `60s`, `2d`, in seconds. Raises Failure."""
    found = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if not found:
        raise Failure(f"{option} {text!r} is not a duration", "for example: 48h, 90m or 60s")
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds < SHORTEST_TTL:
        raise Failure(f"{option} {text} is too short", f"use {SHORTEST_TTL}s or more")
    return seconds


def period(option: str, text: str) -> float:
    """As `lifetime`, of a second or more."""
    found = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if not found or not int(found[1]):
        raise Failure(f"{option} {text!r} is not a duration", "for example: 20m or 1h")
    return float(int(found[1]) * _UNITS[found[2]])


def network(option: str, text: str) -> Network:
    """An address or a block. Raises Failure."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise Failure(
            f"{option} {text!r} is no address and no block of addresses",
            "for example: 127.0.0.1 or 10.0.0.0/8",
        ) from error


def size(option: str, text: str) -> int:
    """`64M`, `512K`, `1G`, in bytes. Raises Failure."""
    found = re.fullmatch(r"(\d{1,9})([KMG])", text.strip())
    if not found:
        raise Failure(f"{option} {text!r} is not a size", "for example: 64M, 512K or 1G")
    bytes_ = int(found[1]) << {"K": 10, "M": 20, "G": 30}[found[2]]
    if bytes_ < SMALLEST_AUDIT:
        raise Failure(f"{option} {text} is too small", f"use {SMALLEST_AUDIT >> 10}K or more")
    return bytes_


def trust_domain(text: str) -> str:
    """SPIFFE: lower-case letters, digits, '.', '-' and '_'. Raises Failure."""
    if not re.fullmatch(r"[a-z0-9._-]{1,255}", text):
        raise Failure(
            f"--trust-domain {text!r} is not a trust domain", "use lower-case letters, digits, '.', '-', '_'"
        )
    return text
