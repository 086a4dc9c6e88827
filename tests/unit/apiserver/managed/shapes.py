"""A small shape with one of everything, for tests: made as those of kinds are."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from argosy.apiserver.managed.shape import Shape, shape_of
from argosy.resources.kind import Kind
from argosy.resources.meta import Object


class Port(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    port: int
    protocol: Annotated[str, Meta(extra_json_schema={"default": "TCP"})] = "TCP"
    target: int = 0


class Inner(Struct, frozen=True, kw_only=True, omit_defaults=True):
    x: int = 0
    y: int = 0


class Spec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str = ""
    rank: int | str | None = None
    ports: Annotated[
        tuple[Port, ...],
        Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"]}),
    ] = ()  # fmt: skip
    tags: Annotated[tuple[str, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "set"})] = ()
    hosts: tuple[str, ...] = ()
    inner: Inner | None = None
    whole: Annotated[dict[str, str], Meta(extra_json_schema={"x-kubernetes-map-type": "atomic"})] = {}
    free: dict[str, Any] = {}
    next: Spec | None = None


class Everything(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: Spec = Spec()
    status: Inner = Inner()


KIND = Kind(
    group="test.dev",
    versions=("v1",),
    kind="Everything",
    plural="everythings",
    singular="everything",
    struct=Everything,
)
SHAPE: Shape = shape_of(KIND)
