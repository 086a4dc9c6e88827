"""A way through the network that a test can cut: TCP connections to one port go on to another."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator


class Forwarder:
    """Forwards until `cut`: then what is open ends, and what comes is closed at once; `mend` takes it back."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            self._cut = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut = False

    def end(self) -> None:
        self._ended = True
        self.cut()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while not self._ended:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(here,), daemon=True).start()

    def _forward(self, here: socket.socket) -> None:
        with here, contextlib.suppress(OSError):
            there = socket.create_connection(("127.0.0.1", self.target))
            with there, selectors.DefaultSelector() as ready:
                with self._lock:
                    if self._cut:
                        return
                    self._open |= {here, there}
                try:
                    for one, other in ((here, there), (there, here)):
                        ready.register(one, selectors.EVENT_READ, other)
                    while True:
                        for key, _ in ready.select():
                            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                            if not data:
                                return
                            key.data.sendall(data)
                finally:
                    with self._lock:
                        self._open -= {here, there}


@contextlib.contextmanager
def forwarder(target: int) -> Iterator[Forwarder]:
    made = Forwarder(target)
    try:
        yield made
    finally:
        made.end()
