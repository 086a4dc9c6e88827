"""An issuer of tokens as a web server: its keys, its OpenID configuration, and the ways in which it may fail or lie."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.tokens import Key, key_set

Answer = tuple[int, dict[str, str], bytes]


def found(body: str | bytes, **headers: str) -> Answer:
    return 200, headers, body.encode() if isinstance(body, str) else body


def moved(to: str) -> Answer:
    return 302, {"location": to}, b""


@dataclass
class Issuer:
    """`answers`: path -> what is there; a function waits, or answers by how often it was asked."""

    port: int = 0
    scheme: str = "http"
    answers: dict[str, Answer | Callable[[], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def publish(self, *keys: Key) -> None:
        self.answers["/keys"] = found(key_set(*keys))
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.answers["/.well-known/openid-configuration"] = found(json.dumps(document))

    def answer(self, path: str) -> Answer:
        there = self.answers.get(path, (404, {}, b"not here"))
        return there() if callable(there) else there


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Issuer]:
    issuer = Issuer(scheme="https" if context else "http")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            issuer.hosts.append(self.headers["host"])
            status, headers, body = issuer.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if "content_length" not in headers:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Whoever goes away in the middle is no news."""

    server = Server(("127.0.0.1", port), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    issuer.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def slow(seconds: float, answer: Answer) -> Callable[[], Answer]:
    def wait() -> Answer:
        time.sleep(seconds)
        return answer

    return wait
