"""Fetching a document from a URL that somebody wrote into an object: bounded, and never from where only we may go.

Rules:
* Whoever may write an object makes the server connect. So an address is judged as the connection is made, not as the
  name was written: names are resolved here, and the connection is to the address that was judged. Redirects are
  followed here, each judged again, and none leads from https to http.
* Refused unless told otherwise: the loopback, link-local addresses (where clouds have their metadata), other addresses
  of metadata services, what is no address of a host; and the same written as IPv6 (mapped, translated, tunnelled).
* Everything is bounded: bytes, time as a whole, redirects. No proxy of the environment is used, for it would connect in
  our place. Certificates are checked against the system's roots.
* The reasons of failures name nothing of what was received.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

import httpx

REFRESH = 20 * 60.0
"""Seconds, after which keys are fetched again; Istio's."""
MOST_BYTES = 1024 * 1024
MOST_REDIRECTS = 3
MOST_ADDRESSES = 4
"""Of one name, that are tried."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA = tuple(
    ipaddress.ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
    )
)
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class FetchError(Exception):
    """Why there is no document; for people, without anything of what was received."""


class Fetcher:
    """`allowed`: networks that are fetched from although they would be refused."""

    def __init__(self, allowed: Sequence[Network] = (), context: ssl.SSLContext | None = None) -> None:
        self.allowed = tuple(allowed)
        self.connections = 0
        self._context = context or ssl.create_default_context()

    async def fetch(self, url: str, timeout: float) -> bytes:
        """The document there. `timeout`, in seconds, is for all of it. Raises FetchError."""
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(url)
        except TimeoutError as error:
            raise FetchError(f"no answer within {timeout:g} s") from error

    async def _follow(self, url: str) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            found = await self._get(url)
            if isinstance(found, bytes):
                return found
            if urlsplit(url).scheme == "https" and urlsplit(found).scheme != "https":
                raise FetchError("is redirected from https to http")
            url = found
        raise FetchError(f"is redirected more than {MOST_REDIRECTS} times")

    async def _get(self, url: str) -> bytes | str:
        """The document, or where it is instead."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
            host = host if host is None or host.isascii() else host.encode("idna").decode()
        except ValueError as error:
            raise FetchError("is no URL") from error
        if parts.scheme not in ("http", "https") or not host:
            raise FetchError("is no URL with http:// or https://")
        last: FetchError | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._from(address, parts.scheme, host, port, url)
            except httpx.ConnectError as error:
                last = FetchError(_why(error))
            except httpx.HTTPError as error:
                raise FetchError(f"the connection failed ({type(error).__name__})") from error
            except httpx.InvalidURL as error:
                raise FetchError("is no URL") from error
        raise last or FetchError("has no address")

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """Where the host is, without what is refused. Raises FetchError where nothing is left."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FetchError(f"its host {host!r:.200} is not known") from error
        addresses = list(dict.fromkeys(ipaddress.ip_address(one[4][0]) for one in found))
        open_to_us = [one for one in addresses if self._may(one)]
        if addresses and not open_to_us:
            raise FetchError(
                f"its host {host!r:.200} is at {addresses[0]}, from where keys are not fetched; where they are to be, "
                f"start the server with --jwks-allow {addresses[0]}"
            )
        return open_to_us[:MOST_ADDRESSES]

    def _may(self, address: Address) -> bool:
        return any(address in network for network in self.allowed) or not is_refused(address)

    async def _from(self, address: Address, scheme: str, host: str, port: int, url: str) -> bytes | str:
        parts = urlsplit(url)
        shown = f"[{address}]" if address.version == 6 else str(address)
        target = f"{scheme}://{shown}:{port}{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        named = f"[{host}]" if ":" in host else host
        headers = {
            "host": named if port == (443 if scheme == "https" else 80) else f"{named}:{port}",
            "accept": "application/json, application/jwk-set+json",
            "accept-encoding": "identity",
            "user-agent": "argosy",
        }
        self.connections += 1
        transport = httpx.AsyncHTTPTransport(verify=self._context, trust_env=False, http2=False)
        # The time is kept by `fetch`, as a whole. The name is what the certificate must be for.
        client = httpx.AsyncClient(transport=transport, timeout=None, headers=headers)  # noqa: S113
        async with client:
            request = client.build_request("GET", target, extensions={"sni_hostname": host})
            answer = await client.send(request, stream=True)
            try:
                if answer.status_code in (301, 302, 303, 307, 308) and (to := answer.headers.get("location")):
                    return str(urljoin(url, to))
                if answer.status_code != 200:
                    raise FetchError(f"is answered by {answer.status_code}")
                return await _body(answer)
            finally:
                await answer.aclose()


async def _body(answer: httpx.Response) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise FetchError("is compressed, which was not asked for")
    parts: list[bytes] = []
    size = 0
    async for part in answer.aiter_raw():
        size += len(part)
        if size > MOST_BYTES:
            raise FetchError(f"is larger than {MOST_BYTES >> 10} KiB")
        parts.append(part)
    return b"".join(parts)


def _why(error: httpx.ConnectError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        cause = cause.__cause__ or cause.__context__
    return "nobody answers there"


def is_refused(address: Address) -> bool:
    """Whether it is no address of another host, or one of a metadata service."""
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour or _translated(address)
        if within is not None and is_refused(within):
            return True
        if address.teredo is not None or address.is_site_local:
            return True
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.version == 4 and (int(address) >> 24 == 0 or int(address) >> 28 == 15))
        or address in _METADATA
    )


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if any(address in network for network in _TRANSLATED) or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
