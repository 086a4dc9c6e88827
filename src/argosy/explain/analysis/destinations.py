"""Where a VirtualService sends requests, one for each destination; and what a host means to who wrote it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from argosy.explain.analysis import parts
from argosy.explain.analysis.parts import Json


class Destination(Struct, frozen=True):
    field: str  # `spec.http[0].route[1].destination`
    host: str  # as written
    subset: str
    port: int | None


def destinations(spec: Json) -> Iterator[Destination]:
    """Of HTTP, TLS and TCP routes and of mirrors, in the order of the fields. A mirror without a host is none."""
    for where, written in _written(spec):
        host = parts.text(written, "host")
        if host or "mirror" not in where:
            yield Destination(
                where, host, parts.text(written, "subset"), parts.number(written, "port", "number")
            )


def _written(spec: Json) -> Iterator[tuple[str, Json]]:
    for index, http in parts.objects(spec, "http"):
        field = f"spec.http[{index}]"
        for position, route in parts.objects(http, "route"):
            yield f"{field}.route[{position}].destination", parts.mapping(route, "destination")
        yield f"{field}.mirror", parts.mapping(http, "mirror")
        for position, mirror in parts.objects(http, "mirrors"):
            yield f"{field}.mirrors[{position}].destination", parts.mapping(mirror, "destination")
    for protocol in ("tls", "tcp"):
        for index, rule in parts.objects(spec, protocol):
            for position, route in parts.objects(rule, "route"):
                yield (
                    f"spec.{protocol}[{index}].route[{position}].destination",
                    parts.mapping(route, "destination"),
                )


def as_written(written: str, host: str) -> str:
    """`reviews (reviews.shop.svc.cluster.local)`."""
    return written if written == host else f"{written} ({host})"
