"""HTTP_FILTER: the filters of one connection manager."""

from __future__ import annotations

from functools import partial

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from argosy.model.envoy_patches import EnvoyPatch, FilterClass, Operation
from argosy.translate import names
from argosy.translate.filters import router
from argosy.translate.patches.merge import configuration, merge
from argosy.translate.patches.run import Run, place
from argosy.translate.patches.values import PatchError, value

Patches = list[tuple[int, EnvoyPatch]]

_OF_CLASS = {
    FilterClass.AUTHN: (names.PEER_AUTHENTICATION, "envoy.filters.http.jwt_authn"),
    FilterClass.AUTHZ: ("envoy.filters.http.rbac", "envoy.filters.http.ext_authz"),
}
"""Beginnings of the names of our own filters."""


def apply(filters: list[HttpFilter], patches: Patches, run: Run) -> list[HttpFilter]:
    """Facts (Istio): filters come and go first, then what is there is merged."""
    added: dict[int, FilterClass] = {}  # id of a filter -> its class
    for index, patch in patches:
        if patch.operation is Operation.MERGE:
            continue
        with run.making(index):
            if patch.operation is Operation.ADD:
                new = value(patch, HttpFilter)
                added[id(new)] = patch.filter_class
                placed: list[HttpFilter] | None = _added(filters, new, patch.filter_class, added)
            else:
                placed = _placed(filters, patch)
        if placed is None:
            run.applied.discard(index)
        else:
            filters = placed
    for one in filters:
        for index, patch in patches:
            if patch.operation is Operation.MERGE and _named(patch) == one.name:
                with run.making(index):
                    _merge(one, value(patch, HttpFilter))
    return filters


def _placed(filters: list[HttpFilter], patch: EnvoyPatch) -> list[HttpFilter] | None:
    """The router, which ends the chain, stays last and stays there."""
    name = _named(patch)
    fits = partial(_is_called, name) if name is not None else None
    placed = place(filters, patch.operation, partial(value, patch, HttpFilter), fits)
    ends = bool(filters) and filters[-1].name == router.NAME
    if placed is None or not ends:
        return placed
    if patch.operation is Operation.REMOVE and name == router.NAME:
        raise PatchError(f"patch: REMOVE leaves a chain without {router.NAME}, which ends it; use REPLACE")
    behind = patch.operation is Operation.INSERT_AFTER and placed[-1] is not filters[-1]
    return [*placed[:-2], placed[-1], placed[-2]] if behind else placed


def _added(
    filters: list[HttpFilter], new: HttpFilter, kind: FilterClass, added: dict[int, FilterClass]
) -> list[HttpFilter]:
    """Facts (Istio): AUTHN and AUTHZ go behind our own filters of these classes, STATS before those that count (here
    access loggers do), those of a class in the order in which they come. The last filter stays last."""
    if kind in _OF_CLASS:
        classes = (FilterClass.AUTHN,) if kind is FilterClass.AUTHN else tuple(_OF_CLASS)
        behind = [at for at, one in enumerate(filters) if _class_of(one, added) in classes]
        at = max(behind, default=-1) + 1
    elif filters and filters[-1].name == router.NAME:
        at = len(filters) - 1
    else:
        at = len(filters)
    return [*filters[:at], new, *filters[at:]]


def _class_of(one: HttpFilter, added: dict[int, FilterClass]) -> FilterClass | None:
    for kind, beginnings in _OF_CLASS.items():
        if one.name.startswith(beginnings):
            return kind
    return added.get(id(one))


def _named(patch: EnvoyPatch) -> str | None:
    chain = patch.listener.chain if patch.listener is not None else None
    return chain.sub_filter if chain is not None else None


def _is_called(name: str, one: HttpFilter) -> bool:
    return bool(one.name == name)


def _merge(one: HttpFilter, more: HttpFilter) -> None:
    if one.HasField("config_discovery"):
        raise PatchError(f"patch.value: the configuration of {one.name} comes by ECDS: use REPLACE or REMOVE")
    if more.HasField("typed_config"):
        configuration(one.typed_config, more.typed_config)
        more.ClearField("typed_config")
    merge(one, more)
