"""The collector waits while much is made, and goes on as before, whatever happens."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path

import pytest

from argosy.server import collecting


def test_it_waits_inside_and_goes_on_outside() -> None:
    assert gc.isenabled()
    with collecting.paused():
        assert not gc.isenabled()
        with collecting.paused():
            pass
        assert not gc.isenabled(), "the outer one decides"
    assert gc.isenabled()


def test_it_goes_on_after_a_failure() -> None:
    with pytest.raises(ValueError, match="broken"), collecting.paused():
        raise ValueError("broken")
    assert gc.isenabled()


def test_a_server_collects_less_often_than_python_by_default() -> None:
    before = gc.get_threshold()  # another test in this process may have started a server already
    try:
        gc.set_threshold(700, 10, 10)
        collecting.settle_down()
        assert gc.get_threshold()[0] > 700
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)


def test_memory_that_is_free_is_given_back() -> None:
    """Every other of many blocks is freed: what is left pins the heap's end, and the pages between stay until asked."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    blocks = [libc.malloc(32 << 10) for _ in range(2_000)]
    for block in blocks:
        ctypes.memset(block, 1, 32 << 10)
    for block in blocks[::2]:
        libc.free(block)
    before = resident()
    collecting.give_back()
    assert before - resident() > 20 << 20
    for block in blocks[1::2]:
        libc.free(block)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
