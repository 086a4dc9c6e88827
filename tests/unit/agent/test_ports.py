from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path

import pytest

from argosy.agent.ports import Ports, ephemeral, obstacle
from argosy.runtime.errors import Failure


def ports(tmp_path: Path, *, taken: set[int] | None = None, candidates: range = range(100, 110)) -> Ports:
    return Ports(
        tmp_path / "ports.json",
        forbidden=range(104, 106),
        obstacle=lambda port: "address already in use" if port in (taken or ()) else "",
        candidates=candidates,
    )


def test_ports_differ_and_avoid_the_ephemeral_range(tmp_path: Path) -> None:
    one = ports(tmp_path)
    got = [one.allocate(f"w/{number}") for number in range(8)]
    assert sorted(got) == [100, 101, 102, 103, 106, 107, 108, 109]


def test_all_taken_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no free port in 100-109"):
        ports(tmp_path, taken=set(range(100, 110))).allocate("w/bind/1")


def test_a_port_is_kept_across_agents_even_when_others_come_first(tmp_path: Path) -> None:
    first = ports(tmp_path)
    mine = first.allocate("reviews/bind/9080")
    second = ports(tmp_path)
    assert second.allocate("other/bind/1") != mine
    assert second.allocate("reviews/bind/9080") == mine


def test_a_remembered_port_is_given_to_others_when_nothing_else_is_left(tmp_path: Path) -> None:
    ports(tmp_path, candidates=range(100, 101)).allocate("reviews/bind/9080")
    assert ports(tmp_path, candidates=range(100, 101)).allocate("other/bind/1") == 100


def test_a_remembered_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    mine = ports(tmp_path).allocate("reviews/bind/9080")
    again = ports(tmp_path, taken={mine}).allocate("reviews/bind/9080")
    assert again != mine
    assert ports(tmp_path).allocate("reviews/bind/9080") == again


def test_a_clash_gives_another_port_for_good(tmp_path: Path) -> None:
    one = ports(tmp_path)
    mine = one.allocate("reviews/bind/9080")
    other = one.replace("reviews/bind/9080", mine)
    assert other != mine
    assert ports(tmp_path).allocate("reviews/bind/9080") == other


def test_released_ports_may_be_used_again(tmp_path: Path) -> None:
    one = ports(tmp_path, candidates=range(100, 102))
    one.allocate("a/bind/1")
    one.allocate("b/bind/1")
    one.release("a")
    assert one.allocate("c/bind/1") == 100


def test_a_claim_names_who_has_it(tmp_path: Path) -> None:
    one = ports(tmp_path, taken={8080})
    one.claim("ingress/gateway/80", 9000)
    with pytest.raises(Failure, match="port 9000 is taken by ingress"):
        one.claim("other/gateway/80", 9000)
    with pytest.raises(Failure, match="port 8080 cannot be used: address already in use"):
        one.claim("other/gateway/80", 8080)


def test_a_port_that_needs_root_has_a_remedy_of_its_own(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json", obstacle=lambda _: os.strerror(errno.EACCES).lower())
    with pytest.raises(Failure, match="port 80 cannot be used: permission denied") as caught:
        ports.claim("ingress/bound/80", 80)
    assert "--port 80=8080" in caught.value.remedy


def test_a_damaged_memory_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")
    assert ports(tmp_path).allocate("a/bind/1") == 100
    assert json.loads((tmp_path / "ports.json").read_text())["ports"] == {"a/bind/1": 100}


def test_the_probe_sees_listeners_on_any_address() -> None:
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.socket() as other:
            other.bind((address, 0))
            other.listen()
            assert "in use" in obstacle(other.getsockname()[1])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    assert obstacle(port) == ""


def test_the_ephemeral_range_is_the_kernels(tmp_path: Path) -> None:
    (tmp_path / "ip_local_port_range").write_text("15000\t20010\n")
    assert ephemeral(tmp_path) == range(15000, 20011)
    assert ephemeral(tmp_path / "nowhere") == range(32768, 61000)
