"""A DNS server of the tests, and the address of this host that others might have."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2

from argosy.translate import wire

NAME_ERROR = 3


class Resolver:
    """`addresses`: of a name in lower case; None where there is no such name."""

    def __init__(self, addresses: Callable[[str], tuple[str, ...] | None]) -> None:
        self.addresses = addresses
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def config(self) -> cares_dns_resolver_pb2.CaresDnsResolverConfig:
        """Of Envoy's resolver."""
        return cares_dns_resolver_pb2.CaresDnsResolverConfig(resolvers=[wire.address("127.0.0.1", self.port)])

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                query, client = self.socket.recvfrom(4096)
                end, labels = 12, []
                while query[end]:
                    labels.append(query[end + 1 : end + 1 + query[end]].decode("latin-1").lower())
                    end += query[end] + 1
                question, kind = query[12 : end + 5], int.from_bytes(query[end + 1 : end + 3], "big")
                known = self.addresses(".".join(labels))
                addresses = known if known is not None and kind == 1 else ()
                flags = 0x8180 | (NAME_ERROR if known is None else 0)
                answer = query[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0) + question
                for address in addresses:
                    answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
                self.asked += kind == 1
                self.socket.sendto(answer, client)

    def close(self) -> None:
        self.socket.close()


def own_address() -> str | None:
    """An address of this host that is not the loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        found = str(probe.getsockname()[0])
        return None if found.startswith("127.") else found
    return None


OWN_ADDRESS = own_address()
