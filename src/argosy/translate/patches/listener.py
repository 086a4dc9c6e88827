"""LISTENER, LISTENER_FILTER, FILTER_CHAIN, NETWORK_FILTER and HTTP_FILTER. (ADD of a listener makes a resource of its
own: see `additions`.)

Where we do more than Istio, whose Envoy would refuse the listener as a whole: what is put behind the last filter of a
chain that ends there goes before it, that filter is not removed, and a listener all of whose chains are removed goes
with them. And a merge with a transport socket takes the rest of the value too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from envoy.config.listener.v3 import listener_pb2
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, ListenerFilter
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)

from argosy.model.envoy_patches import ChainMatch, EnvoyPatch, Operation, Part, Side
from argosy.translate import connection_manager, wire
from argosy.translate.filters import tcp_proxy
from argosy.translate.patches import http_filter
from argosy.translate.patches.cluster import merge_same_socket
from argosy.translate.patches.merge import configuration, merge
from argosy.translate.patches.run import Run, place
from argosy.translate.patches.subject import VIRTUAL, Subject
from argosy.translate.patches.values import PatchError, keeps_name, shared_value, value

TERMINAL = (connection_manager.NAME, tcp_proxy.NAME)


def apply(out: listener_pb2.Listener, run: Run) -> bool:
    """False: it is removed."""
    for index, patch in run.of(Part.LISTENER):
        if patch.operation is Operation.REMOVE:
            run.applied.add(index)
            return False
        if patch.operation is Operation.MERGE:
            with run.making(index):
                more = shared_value(patch, listener_pb2.Listener)
                keeps_name(out.name, more.name)
                merge(out, more)
    _listener_filters(out, run)
    return _chains(out, run)


# --- listener filters -----------------------------------------------------------------------------------------------


def _listener_filters(out: listener_pb2.Listener, run: Run) -> None:
    found = list(out.listener_filters)
    for index, patch in run.of(Part.LISTENER_FILTER):
        name = patch.listener.listener_filter if patch.listener is not None else ""
        fits = partial(_is_called, name) if name else None
        with run.making(index):
            placed = place(found, patch.operation, partial(value, patch, ListenerFilter), fits)
        if placed is None:
            run.applied.discard(index)
        else:
            found = placed
    if run.of(Part.LISTENER_FILTER):
        del out.listener_filters[:]
        out.listener_filters.extend(found)


def _is_called(name: str, one: ListenerFilter | Filter) -> bool:
    return bool(one.name == name)


# --- filter chains --------------------------------------------------------------------------------------------------


def _chains(out: listener_pb2.Listener, run: Run) -> bool:
    """False: none is left."""
    kept = [chain for chain in out.filter_chains if not chain.filters or _chain(chain, run)]
    for index, patch in run.of(Part.FILTER_CHAIN):
        if patch.operation is Operation.ADD:
            with run.making(index):
                added = value(patch, FilterChain)
                _told_apart(added, kept)
                kept.append(added)
    if run.of(Part.FILTER_CHAIN):
        del out.filter_chains[:]
        out.filter_chains.extend(kept)
    if out.HasField("default_filter_chain") and not _chain(out.default_filter_chain, run):
        out.ClearField("default_filter_chain")
    return bool(kept) or out.HasField("default_filter_chain")


def _told_apart(added: FilterChain, others: list[FilterChain]) -> None:
    """Envoy refuses a listener in which two chains take the same connections. Raises PatchError."""
    wanted = _criteria(added)
    for other in others:
        if all(mine & theirs for mine, theirs in zip(wanted, _criteria(other), strict=True)):
            called = other.name or "without a name"
            raise PatchError(
                f"patch.value.filter_chain_match: takes connections that the filter chain {called} takes; say more of "
                "them, or patch that one"
            )


def _criteria(chain: FilterChain) -> list[frozenset[str]]:
    """What a chain asks for in each field of its match; of what it does not ask for, nothing counts as a value."""
    match = chain.filter_chain_match
    found: list[frozenset[str]] = []
    for field in match.DESCRIPTOR.fields:
        held = getattr(match, field.name)
        one = not match.HasField(field.name) if field.has_presence else not held
        values = () if one else held if isinstance(held, Sequence) and not isinstance(held, str) else (held,)
        found.append(frozenset(str(value) for value in values) or frozenset(("",)))
    return found


def _chain(chain: FilterChain, run: Run) -> bool:
    """False: it is removed."""
    for index, patch in run.of(Part.FILTER_CHAIN):
        if not _is_chain(chain, patch, run.subject):
            continue
        if patch.operation is Operation.REMOVE:
            run.applied.add(index)
            return False
        if patch.operation is Operation.MERGE:
            with run.making(index):
                _merge_chain(chain, value(patch, FilterChain))
    _network_filters(chain, run)
    return True


def _merge_chain(chain: FilterChain, more: FilterChain) -> None:
    if more.HasField("transport_socket") and chain.transport_socket.name == more.transport_socket.name:
        merge_same_socket(chain.transport_socket, more.transport_socket)
        more.ClearField("transport_socket")
    merge(chain, more)


def _is_chain(chain: FilterChain, patch: EnvoyPatch, subject: Subject) -> bool:
    match = patch.listener
    if match is None:
        return True
    conditions = chain.filter_chain_match
    ports: tuple[int, ...] = (conditions.destination_port.value,)
    if subject.name in VIRTUAL:
        if match.port and match.port not in ports:
            return False
    elif subject.side is Side.INBOUND:
        ports = subject.ports  # explicit interception: the listener is for one workload port
    return match.chain is None or _fits(match.chain, chain, ports, subject)


def _fits(match: ChainMatch, chain: FilterChain, ports: tuple[int, ...], subject: Subject) -> bool:
    conditions = chain.filter_chain_match
    names = {chain.name}
    if subject.side is Side.INBOUND:
        names |= {f"0.0.0.0_{port}" for port in ports if port}  # Istio's name of the chains of a port
    return (
        (not match.name or match.name in names)
        and (not match.sni or match.sni in conditions.server_names)
        and match.transport_protocol in ("", conditions.transport_protocol)
        and set(match.application_protocols) <= set(conditions.application_protocols)
        and (not match.destination_port or match.destination_port in ports)
    )


# --- network filters ------------------------------------------------------------------------------------------------


def _network_filters(chain: FilterChain, run: Run) -> None:
    patches = [
        (index, patch) for index, patch in run.of(Part.NETWORK_FILTER) if _is_chain(chain, patch, run.subject)
    ]
    filters = list(chain.filters)
    for index, patch in patches:
        if patch.operation is Operation.MERGE:
            continue
        name = named(patch)
        fits = partial(_is_called, name) if name is not None else None
        with run.making(index):
            placed = _place(filters, patch, fits)
        if placed is None:
            run.applied.discard(index)
        else:
            filters = placed
    if patches:
        del chain.filters[:]
        chain.filters.extend(filters)
    within = [
        (index, patch) for index, patch in run.of(Part.HTTP_FILTER) if _is_chain(chain, patch, run.subject)
    ]
    for one in chain.filters:
        for index, patch in patches:
            if patch.operation is Operation.MERGE and named(patch) in (None, one.name):
                _merge_filter(one, index, patch, run)
        if within and one.name == connection_manager.NAME and one.HasField("typed_config"):
            _http_filters(one, within, run)


def _place(filters: list[Filter], patch: EnvoyPatch, fits: partial[bool] | None) -> list[Filter] | None:
    def new() -> Filter:
        return value(patch, Filter)

    ends = bool(filters) and filters[-1].name in TERMINAL
    placed = place(filters, patch.operation, new, fits)
    if placed is None or not ends:
        return placed
    if patch.operation is Operation.REMOVE and (not placed or placed[-1].name not in TERMINAL):
        raise PatchError(
            f"patch: REMOVE leaves a chain without {filters[-1].name}, which ends it; use REPLACE"
        )
    behind = patch.operation in (Operation.ADD, Operation.INSERT_AFTER) and placed[-1] is not filters[-1]
    return [*placed[:-2], placed[-1], placed[-2]] if behind else placed


def named(patch: EnvoyPatch) -> str | None:
    """The network filter that the patch names."""
    chain = patch.listener.chain if patch.listener is not None else None
    return chain.filter if chain is not None else None


def _merge_filter(one: Filter, index: int, patch: EnvoyPatch, run: Run) -> None:
    with run.making(index):
        more = value(patch, Filter)
        if more.HasField("typed_config"):
            same = more.typed_config.type_url == one.typed_config.type_url
            if not same and named(patch) is None:
                run.applied.discard(index)
                return  # of all filters, those of its type are meant
            configuration(one.typed_config, more.typed_config)
            more.ClearField("typed_config")
        merge(one, more)


def _http_filters(one: Filter, patches: list[tuple[int, EnvoyPatch]], run: Run) -> None:
    patches = [(index, patch) for index, patch in patches if named(patch) in (None, one.name)]
    if not patches:
        return
    manager = manager_pb2.HttpConnectionManager.FromString(one.typed_config.value)
    filters = http_filter.apply(list(manager.http_filters), patches, run)
    del manager.http_filters[:]
    manager.http_filters.extend(filters)
    one.typed_config.CopyFrom(wire.pack(manager))
