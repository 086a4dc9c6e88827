"""A call that a client makes, and how random ones are drawn."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

HTTP_PORT, SECOND_PORT, TCP_PORT = 8080, 8081, 9000
PORTS = {HTTP_PORT: True, SECOND_PORT: True, TCP_PORT: False}  # workload port -> whether it speaks HTTP

SOURCES = ("127.0.0.1", "127.0.0.2", "127.0.0.9", "127.0.1.1")


@dataclass
class Call:
    """One that a client makes."""

    port: int
    identities: tuple[str, ...] = ()
    source: str = SOURCES[0]
    server_name: str = ""
    method: str = "GET"
    path: str = "/"
    authority: str = "reviews"
    headers: list[tuple[str, str]] = field(default_factory=list)
    consents: bool = False  # whether the provider lets it in
    claims: dict[str, Any] = field(default_factory=dict)  # that its token must have, if it has one

    @property
    def http(self) -> bool:
        return PORTS[self.port]


class Choices:
    """`about`: what policies speak of, and nothing else; (): of everything."""

    def __init__(self, seed: int, about: tuple[str, ...] = ()) -> None:
        self.random = random.Random(seed)
        self.about = about

    def chance(self, percent: int) -> bool:
        return self.random.random() * 100 < percent

    def one(self, *choices: Any) -> Any:
        return self.random.choice(choices)
