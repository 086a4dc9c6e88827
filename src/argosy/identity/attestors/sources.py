"""Where the agent's half takes a token from: a file, a variable, or a service of the host's platform."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import httpx

from argosy.identity.attestors import keys
from argosy.identity.attestors.tokens import LONGEST_TOKEN
from argosy.runtime.errors import Failure


class TokenSource:
    """`file=PATH`, read anew each time, as platforms replace it, `env=NAME`, or `url=URL`, with `header=NAME: VALUE`"""

    def __init__(self, parameters: Mapping[str, str], default_file: str = "") -> None:
        given = dict(parameters)
        self._file = given.pop("file", "")
        self._variable = given.pop("env", "")
        self._url = given.pop("url", "")
        self._header = given.pop("header", "")
        if given:
            raise Failure(
                f"the attestor knows no parameter {', '.join(sorted(given))}",
                "use file, env, or url and header",
            )
        if not (self._file or self._variable or self._url):
            self._file = default_file
        if sum(map(bool, (self._file, self._variable, self._url))) != 1:
            raise Failure(
                "it is not said where the token is", "give one of --with file=PATH, env=NAME, url=URL"
            )

    async def gather(self, nonce: str) -> str:
        text = (await self._read()).strip()
        if not text:
            raise Failure(f"there is no token in {self._place}", "does the platform put it there?")
        if len(text) > LONGEST_TOKEN:
            raise Failure(f"what is in {self._place} is longer than {LONGEST_TOKEN} bytes", "is it a token?")
        return text

    @property
    def _place(self) -> str:
        return self._file or (f"${self._variable}" if self._variable else self._url)

    async def _read(self) -> str:
        if self._variable:
            return os.environ.get(self._variable, "")
        try:
            if self._file:
                return await asyncio.to_thread(_beginning, Path(self._file))
            name, _, value = self._header.partition(":")
            headers = {name.strip(): value.strip()} if name else {}
            async with keys.client(keys.tls("")) as connection:
                return (await keys.body(connection, "GET", self._url, headers=headers)).decode("ascii")
        except (OSError, ValueError, httpx.HTTPError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Failure(f"{self._place}: {reason}", "does the platform put a token there?") from error


def _beginning(path: Path) -> str:
    with path.open("r", encoding="ascii", errors="replace") as opened:
        return opened.read(LONGEST_TOKEN + 2)
