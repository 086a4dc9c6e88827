"""The collector waits while much is made, and goes on as before, whatever happens."""

from __future__ import annotations

import gc

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
