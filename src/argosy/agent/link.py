"""One mutual-TLS connection a workload to the control plane, shared by ADS, registration and renewals.

A channel is thrown away when an attempt on it failed, so that the next one connects at once and to where the server is
now; and when the certificate was renewed. It closes when its last user has let go.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import grpc

from argosy.identity import client as identity
from argosy.identity.client import Svid


class Link:
    """`address()` says where the server is now (`host:port`)."""

    def __init__(self, address: Callable[[], str], svid: Svid) -> None:
        self._address = address
        self._svid = svid
        self._channel: grpc.aio.Channel | None = None
        self._users: dict[grpc.aio.Channel, int] = {}

    def present(self, svid: Svid) -> None:
        """Another certificate from now on; who uses the old channel may finish."""
        self._svid = svid
        self._channel = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[grpc.aio.Channel]:
        """The channel of now. Raises ValueError or OSError where it cannot be made."""
        if self._channel is None:
            svid = self._svid
            self._channel = identity.channel(self._address(), svid.bundle, svid.chain, svid.key)
        channel = self._channel
        self._users[channel] = self._users.get(channel, 0) + 1
        try:
            yield channel
        except BaseException:
            self._drop(channel)
            raise
        finally:
            self._users[channel] -= 1
            if not self._users[channel]:
                del self._users[channel]
                self._drop(channel)
                await channel.close(None)

    def _drop(self, channel: grpc.aio.Channel) -> None:
        if self._channel is channel:
            self._channel = None
