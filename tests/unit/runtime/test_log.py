"""What is logged, what never is, and a log that cannot be written."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from argosy.runtime.log import configure, logger

EARLY = logger("early")  # as modules do, before anything is configured


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def failing(form: str) -> str:
    out = io.StringIO()
    configure(form=form, stream=out)
    private_key = "the secret of a variable"
    try:
        raise ValueError(str(len(private_key)))
    except ValueError:
        EARLY.exception("it failed")
    return out.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.filterwarnings("error")
def test_an_exception_is_told_without_the_values_of_variables(form: str) -> None:
    said = failing(form)
    assert "ValueError: 24" in said
    assert "the secret of a variable" not in said


def test_a_logger_made_before_the_configuration_follows_it() -> None:
    out = io.StringIO()
    configure(form="json", stream=out)
    EARLY.info("hello", number=1)
    said = json.loads(out.getvalue())
    assert (said["room"], said["event"], said["number"]) == ("early", "hello", 1)
    EARLY.debug("not asked for")
    assert out.getvalue().count("\n") == 1


def closed() -> io.StringIO:
    out = io.StringIO()
    out.close()
    return out


@pytest.mark.parametrize("stream", [Full, closed])
def test_a_log_that_cannot_be_written_stops_nobody(stream: Callable[[], io.StringIO]) -> None:
    configure(form="json", stream=stream())
    EARLY.error("nobody reads this")
