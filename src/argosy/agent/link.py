"""One mutual-TLS connection a workload to the control plane, shared by ADS, registration and renewals.

A channel is thrown away when an attempt on it failed, so that the next one connects at once, and to another server
where there are several: they are taken in turns. A renewed certificate is a new channel to the same server. It closes
when its last user has let go.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import grpc

from argosy.identity import client as identity
from argosy.identity.client import Svid


class Turns:
    """Which of several addresses is next. Stays where it is until that `failed`; an address that is no longer among
    them is left for the first."""

    def __init__(self) -> None:
        self.at = ""
        self._failed = False

    def choose(self, known: Sequence[str]) -> str:
        """Raises OSError where there is none."""
        if not known:
            raise OSError("no server of the mesh is known")
        if self.at not in known:
            self.at = known[0]
        elif self._failed:
            self.at = known[(known.index(self.at) + 1) % len(known)]
        self._failed = False
        return self.at

    def failed(self) -> None:
        self._failed = True


class Link:
    """`addresses()` says where the servers are now (`host:port`), the one to turn to first in front."""

    def __init__(self, addresses: Callable[[], Sequence[str]], svid: Svid) -> None:
        self._addresses = addresses
        self._svid = svid
        self._turns = Turns()
        self._channel: grpc.aio.Channel | None = None
        self._users: dict[grpc.aio.Channel, int] = {}

    @property
    def address(self) -> str:
        """Of the server that was turned to last; "" before that."""
        return self._turns.at

    def present(self, svid: Svid) -> None:
        """Another certificate from now on; who uses the old channel may finish."""
        self._svid = svid
        self._channel = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[grpc.aio.Channel]:
        """The channel of now. Raises ValueError or OSError where it cannot be made."""
        if self._channel is None:
            svid, address = self._svid, self._turns.choose(self._addresses())
            self._channel = identity.channel(address, svid.bundle, svid.chain, svid.key)
        channel = self._channel
        self._users[channel] = self._users.get(channel, 0) + 1
        try:
            yield channel
        except Exception:
            if self._drop(channel):  # of several users, the first that fails turns away
                self._turns.failed()
            raise
        except BaseException:
            self._drop(channel)
            raise
        finally:
            self._users[channel] -= 1
            if not self._users[channel]:
                del self._users[channel]
                self._drop(channel)
                await channel.close(None)

    def _drop(self, channel: grpc.aio.Channel) -> bool:
        """Whether it was the one in use."""
        if self._channel is not channel:
            return False
        self._channel = None
        return True
