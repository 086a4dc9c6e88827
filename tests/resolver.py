"""A DNS server for tests: says what a test wants, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator

A = 1
NOT_THERE = 3


class Resolver:
    """`addresses` gives the IPv4 addresses of a name; where it gives none, there is no such name."""

    def __init__(self, addresses: Callable[[str], tuple[str, ...]]) -> None:
        self.addresses = addresses
        self.asked: Counter[str] = Counter()  # for addresses, by name
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                query, client = self.socket.recvfrom(4096)
                self.socket.sendto(self.answer(query), client)

    def answer(self, query: bytes) -> bytes:
        end, labels = 12, []
        while length := query[end]:
            labels.append(query[end + 1 : end + 1 + length].decode())
            end += length + 1
        name, (kind,) = ".".join(labels).lower(), struct.unpack_from(">H", query, end + 1)
        known = self.addresses(name)
        found = known if kind == A else ()
        self.asked[name] += kind == A
        flags = 0x8180 | (0 if known else NOT_THERE)
        answer = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + query[12 : end + 5]
        for address in found:
            answer += b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + socket.inet_aton(address)
        return answer


@contextlib.contextmanager
def resolving(addresses: Callable[[str], tuple[str, ...]]) -> Iterator[Resolver]:
    found = Resolver(addresses)
    try:
        yield found
    finally:
        found.socket.close()
