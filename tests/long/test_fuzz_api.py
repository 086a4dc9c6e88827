"""A server of its own process under requests that nobody in their senses sends: by our OpenAPI, and as raw bytes.

Never a 5xx, a traceback, a hang, or memory without end. `make fuzz` runs it for as long as ARGOSY_FUZZ_SECONDS says.
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from argosy.resources.kinds import SERVED
from tests.long import known_good, openapi_cases
from tests.long.api_oracle import Api
from tests.long.api_state import NAMESPACES, State
from tests.long.conftest import FULL, count
from tests.long.openapi_cases import Maker, Operation
from tests.long.processes import memory
from tests.long.taken import enough_is_taken
from tests.servers.server_process import Server, running_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

SECONDS = float(os.environ.get("ARGOSY_FUZZ_SECONDS") or count(full=300, short=14))
"""For each test."""
EXAMPLES = count(full=5, short=2)
"""Of one operation, in one round."""
LISTED = tuple(kind for kind in SERVED if kind.read_only or not kind.virtual)
MOST_MEMORY = 1 << 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("fuzzed")) as running:
        yield running
        unhurt(running)


@pytest.fixture(scope="module")
def session(server: Server) -> requests.Session:
    found = requests.Session()
    found.headers["Authorization"] = f"Bearer {(server.state / 'token').read_text().strip()}"
    found.trust_env = False
    found.verify = str(authority(server))
    return found


def authority(server: Server) -> Path:
    cluster = yaml.safe_load(server.kubeconfig.read_text())["clusters"][0]["cluster"]
    path = server.folder / "ca.pem"
    path.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    return path


def unhurt(server: Server) -> None:
    """It runs, has said nothing of a defect, and has not taken more memory than it may."""
    assert server.process.poll() is None, server.log.read_text()[-5000:]
    log = server.log.read_text()
    for word in ("Traceback", "request failed", "Task exception", "never retrieved"):
        assert word not in log, log[max(0, log.index(word) - 500) :][:5000]
    peak = memory(server.process.pid, "VmHWM") << 10
    assert peak < MOST_MEMORY, f"{peak >> 20} MiB"


def test_every_operation_of_our_openapi_answers(server: Server, session: requests.Session) -> None:
    seed = int(os.environ.get("ARGOSY_SEED") or (time.time_ns() % 2**32 if FULL else 1))
    state = State()
    api, dice = Api(server.info.api, session, state), random.Random(seed)
    every = list(openapi_cases.operations(lambda path: api.get(path).json()))
    maker = Maker(dice, state)
    deadline, visits = time.monotonic() + SECONDS, 0
    try:
        for namespace in NAMESPACES:
            api.make(known_good.NAMESPACE, "", namespace)
        while time.monotonic() < deadline:
            for operation in dice.sample(every, len(every)):
                if time.monotonic() > deadline:
                    break
                for _ in range(1 if operation.method == "GET" else EXAMPLES):
                    _request(operation, api, maker)
                visits += 1
                if visits % 100 == 0:
                    unhurt(server)
        missing = [kind for kind in known_good.CREATED if kind.unique_name not in state.created]
        for kind in missing:
            api.prepare(kind)
            where = "istio-system" if kind.unique_name in known_good.ROOT_ALONE else NAMESPACES[0]
            made = api.make(kind, where if kind.namespaced else "", "last")
            assert made, f"the {kind.unique_name} that is good is not taken"
        unhurt(server)
    except BaseException:
        print("--- the last requests:", *api.history, sep="\n", file=sys.stderr)
        print(
            f"--- again: ARGOSY_SEED={seed} ARGOSY_LONG={'1' if FULL else 'short'} ARGOSY_FUZZ_SECONDS={SECONDS:.0f}"
            f" pytest -m long tests/long/test_fuzz_api.py -k openapi",
            file=sys.stderr,
        )
        raise
    print(
        f"ARGOSY_SEED={seed}: {visits} visits to {len(every)} operations, {sum(api.codes.values())} requests"
    )
    enough_is_taken(api.codes)
    print(f"  {len(missing)} kinds were made at the end alone: {[kind.unique_name for kind in missing]}")


def _request(operation: Operation, api: Api, maker: Maker) -> None:
    kind, dice = operation.kind, maker.dice
    if kind in known_good.KEPT and operation.of_object and not api.state.names(kind) and dice.random() < 0.8:
        api.make_one(kind, dice.choice(NAMESPACES) if kind.namespaced else "", dice)
    if kind is not None:
        api.prepare(kind)
    api.fuzzed(maker.request(operation), dice)
    if dice.random() < 0.02:
        api.consistent(dice.choice(LISTED), dice)


PARTS = (
    b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"PRI * HTTP/2.0", b"CONNECT", b" ", b"/", b"*", b"?", b"%", b"%00",
    b"/api/v1/namespaces/shop/secrets", b"/api/v1/services?watch=true&timeoutSeconds=1", b"http://x/api",
    b" HTTP/1.1", b" HTTP/1.0", b" HTTP/9.9", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"Host: a", b"Host: a\r\nHost: b",
    b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 5, 6", b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding:\tchunked",
    b"Expect: 100-continue", b"Connection: upgrade\r\nUpgrade: websocket", b"Connection: keep-alive, close",
    b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffffffffff\r\n", b"0\r\n", b"{}", b"hello", b"\x00", b"\xff" * 10,
    b" folded", b"a" * 70_000, b": x", b"Content-Type: a", b"Cookie: " + b"c" * 5000,
)  # fmt: skip


def test_bytes_that_are_no_http_end_a_connection_and_nothing_else(
    server: Server, session: requests.Session
) -> None:
    seed = int(os.environ.get("ARGOSY_SEED") or (time.time_ns() % 2**32 if FULL else 1))
    print(f"ARGOSY_SEED={seed}")
    dice, deadline, sent = random.Random(seed), time.monotonic() + SECONDS, 0
    host, port = server.info.api.removeprefix("https://").split(":")
    token = b"Authorization: " + str(session.headers["Authorization"]).encode()
    context = ssl.create_default_context(cafile=str(authority(server)))
    answers = Counter[bytes]()
    while time.monotonic() < deadline:
        answer = _exchanged(context, host, int(port), _bytes(dice, token), tls=dice.random() < 0.95)
        answers[answer[9:12] if answer.startswith(b"HTTP/1.1 ") else b"closed"] += 1
        assert not answer.startswith(b"HTTP/1.1 5"), answer[:2000]
        sent += 1
        if sent % 200 == 0:
            unhurt(server)
            assert session.get(f"{server.info.api}/readyz", timeout=60).text == "ok"
    print(f"{sent} connections: {dict(answers)}")
    assert answers.keys() >= {b"400", b"closed"}


def _bytes(dice: random.Random, token: bytes) -> bytes:
    """A request with parts replaced, taken out or put in; or parts alone."""
    target = dice.choice((b"/api", b"/api/v1/namespaces/shop/secrets", b"/openapi/v3", b"/apis/x"))
    head = [dice.choice(PARTS[:5]), b" ", target, b" HTTP/1.1", b"\r\n", b"Host: a", b"\r\n", token, b"\r\n",
            b"Content-Type: application/json", b"\r\n", b"Content-Length: 2", b"\r\n", b"\r\n", b"{}"]  # fmt: skip
    pieces = head if dice.random() < 0.9 else []
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(pieces) + 1)
        pieces[at : at + dice.choice((0, 0, 1))] = [dice.choice(PARTS)]
    return b"".join(pieces) * dice.choice((1, 1, 1, 3))


def _exchanged(context: ssl.SSLContext, host: str, port: int, data: bytes, *, tls: bool) -> bytes:
    """The beginning of what comes back; what stays open and says nothing is for its own time-outs."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        link = opened.enter_context(socket.create_connection((host, port), timeout=10))
        if tls:
            link = opened.enter_context(context.wrap_socket(link, server_hostname=host))
        with contextlib.suppress(OSError):
            link.sendall(data)
        link.settimeout(0.5)
        return link.recv(65536)
    return b""
