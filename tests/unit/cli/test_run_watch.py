"""What the kernel says of sockets: of text, and of this very process."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys

import pytest

from argosy.cli.run_watch import Socket, address, beyond_loopback, parse, past_the_sidecar, sockets, tree

LOOPBACK = ipaddress.ip_address("127.0.0.1")


@pytest.mark.skipif(sys.byteorder != "little", reason="the texts are those of a little-endian machine")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0100007F", "127.0.0.1"),
        ("0101A8C0", "192.168.1.1"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("00000000000000000000000000000000", "::"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert address(text) == ipaddress.ip_address(expected)


@pytest.mark.skipif(sys.byteorder != "little", reason="the text is that of a little-endian machine")
def test_a_table() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:2378 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4711 1 0 100 0 0 10 0\n"
        "   1: 0100007F:2378 0100007F:D431 06 00000000:00000000 00:00000000 00000000  1000 0 4712 1 0 100 0 0 10 0\n"
    )
    assert list(parse(table)) == [Socket(LOOPBACK, 9080, ipaddress.ip_address("0.0.0.0"), 0, "0A", "4711")]


def test_a_listener_beyond_the_loopback_is_seen_and_one_on_it_is_not() -> None:
    with socket.socket() as inside, socket.socket() as outside:
        inside.bind(("127.0.0.1", 0))
        inside.listen()
        outside.bind(("0.0.0.0", 0))
        outside.listen()
        found = beyond_loopback(sockets([os.getpid()]))
        assert f"0.0.0.0:{outside.getsockname()[1]}" in found
        assert not any(where.endswith(f":{inside.getsockname()[1]}") for where in found)


def test_a_connection_straight_to_anothers_application_is_seen_and_one_through_the_sidecar_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        text = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); print('in', flush=True); s.recv(1)"
        child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
        try:
            accepted, _ = listener.accept()
            assert child.stdout is not None
            assert child.stdout.readline() == b"in\n"
            held = sockets([child.pid])
            assert past_the_sidecar(held, {}) == []
            assert past_the_sidecar(held, {port: "ratings-v1"}) == [
                f"127.0.0.1:{port} (the application of ratings-v1)"
            ]
            accepted.close()
        finally:
            child.kill()
            child.wait()
            child.stdout.close() if child.stdout else None


def test_connections_to_other_hosts_are_seen_but_not_those_that_came_in() -> None:
    here, there = ipaddress.ip_address("10.0.0.5"), ipaddress.ip_address("10.0.0.9")
    held = [
        Socket(here, 9080, ipaddress.ip_address("0.0.0.0"), 0, "0A", "1"),
        Socket(here, 9080, there, 40000, "01", "2"),
        Socket(here, 41000, there, 5432, "01", "3"),
    ]
    assert past_the_sidecar(held, {}) == ["10.0.0.9:5432"]


def test_the_tree_has_the_children_of_children() -> None:
    parent = subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert {parent.pid, child} <= set(tree(os.getpid()))
    finally:
        os.killpg(parent.pid, 9)
        parent.wait()
        parent.stdout.close() if parent.stdout else None
