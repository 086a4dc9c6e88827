"""Errors that a person reads: what is wrong, and what to do about it. The CLI prints them without a traceback."""

from __future__ import annotations


class Failure(Exception):
    """`what` names the thing and the value; `remedy` says what to do. `code` is the exit code."""

    def __init__(self, what: str, remedy: str = "", code: int = 1) -> None:
        super().__init__(f"{what}\n  {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy
        self.code = code
