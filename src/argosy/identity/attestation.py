"""Proof of who asks on one host: a Unix socket, whose caller the kernel names.

The boundary on a host is the Unix user. One line in (`AttestRequest`), one line out (`AttestResponse`, with a token of
`proofs.py`), then the connection closes. Sizes and times are bounded, because anybody on the host may connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from argosy.identity.protocol import AttestRequest, AttestResponse
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger

LONGEST_LINE = 4096
LONGEST_WAIT = 5.0
MOST_CALLERS, MOST_OF_ONE_USER = 64, 16
"""At once: so nobody who connects and says nothing keeps the others out."""
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid

log = logger("identity")


# --- the socket -----------------------------------------------------------------------------------------------------


class AttestationSocket:
    """Serves the attestation socket. `answer(uid)` makes the response for a caller the kernel has named."""

    def __init__(self, path: Path, answer: Callable[[int], AttestResponse]) -> None:
        self.path = path
        self.answer = answer
        self.server: asyncio.Server | None = None
        self.callers: Counter[int] = Counter()  # by user

    async def start(self) -> None:
        """Raises Failure where the socket cannot be made. The caller holds the lock of the state directory: a socket
        that is already there is a dead server's."""
        if len(os.fsencode(self.path)) > 107:
            raise Failure(
                f"attestation socket {self.path}: the path is longer than the 107 bytes of a Unix socket",
                "choose a shorter --attest-socket",
            )
        if self.path.exists() and not self.path.is_socket():
            raise Failure(f"attestation socket {self.path}: a file is in its place", "remove it")
        try:
            self.path.unlink(missing_ok=True)
            self.server = await asyncio.start_unix_server(self._serve, self.path, limit=LONGEST_LINE)
            self.path.chmod(0o666)  # anybody may ask: the kernel names the caller, the registrations decide
        except OSError as error:
            raise Failure(
                f"attestation socket {self.path}: {error.strerror or error}", "choose another --attest-socket"
            ) from error

    async def stop(self) -> None:
        if self.server is None:
            return
        self.server.close()
        self.path.unlink(missing_ok=True)
        self.server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = _caller(writer)
        self.callers[uid] += 1
        try:
            if self.callers.total() <= MOST_CALLERS and self.callers[uid] <= MOST_OF_ONE_USER:
                async with asyncio.timeout(LONGEST_WAIT):
                    await self._converse(uid, reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # the caller went away, or says nothing: it may come again
        finally:
            self.callers[uid] -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, uid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readuntil(b"\n")
            msgspec.json.decode(line, type=AttestRequest)
            response = self.answer(uid)
        except asyncio.LimitOverrunError:
            response = _refusal(f"the request is longer than {LONGEST_LINE} bytes")
        except msgspec.MsgspecError as error:
            response = _refusal(f"the request is not an AttestRequest: {error}")
        log.debug("attested", uid=uid, error=response.error)
        writer.write(msgspec.json.encode(response) + b"\n")
        await writer.drain()


def _caller(writer: asyncio.StreamWriter) -> int:
    """The user at the other end, as the kernel knows it (at the time it connected)."""
    connection = writer.get_extra_info("socket")
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(data)
    return int(uid)


def _refusal(error: str) -> AttestResponse:
    return AttestResponse(
        token="", expires_at=0, trust_domain="", bundle="", ca_address="", xds_address="", error=error
    )
