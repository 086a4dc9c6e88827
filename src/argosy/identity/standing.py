"""Whose is a Unix socket: whether a stranger may stand in the place of whoever is meant to listen there.

A path means what those make of it who may change one of its directories. So the one who listens is believed where that
is root, this user, or the user of the directory in which the socket is; and where nobody else may change the way there.
A directory for everybody (/tmp) is one in which a stranger may have been first: what is in it must be root's or ours.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def peer_uid(connection: socket.socket) -> int:
    """Who listens, as the kernel knows it: the user who bound the socket."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])


def doubt(path: Path, listener: int, own: int | None = None) -> str:
    """Why whoever listens at a socket is not to be believed; "" where nothing speaks against it. Raises OSError."""
    own = os.geteuid() if own is None else own
    trusted = {0, own}
    place = path.absolute()
    if listener not in trusted and listener != place.parent.stat().st_uid:
        return f"uid {listener} listens there, and {place.parent} is another user's"
    child = place.lstat()
    for folder in place.resolve().parents if not place.is_symlink() else place.parents:
        status = folder.stat()
        if status.st_uid not in {*trusted, listener}:
            return f"{folder} belongs to uid {status.st_uid}, who may put another socket in its place"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not (
            status.st_mode & stat.S_ISVTX and child.st_uid in trusted
        ):
            return f"others may write in {folder}, so anybody may listen there first"
        child = status
    return ""
