"""A change costs what it changes: the same number of things at 100 and at 10,000 services.

What is counted are lines that the model executes (each turn of a loop counts), which no machine makes slower.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.model.snapshot import Snapshot
from tests.counting import lines
from tests.unit.model.written import obj, scope, service

SIZES = (100, 10_000)
MIDDLE = "s50.default.svc.cluster.local"


def vs(of: str, host: str, **more: Any) -> Any:
    route = {"route": [{"destination": {"host": host}}]} | more
    return obj("VirtualService", of, {"hosts": [host], "http": [route]})


def endpoints(*names: str) -> tuple[ir.Endpoint, ...]:
    return tuple(
        ir.Endpoint(address="10.0.0.1", port=80, port_name="http-80", workload=name) for name in names
    )


@cache
def mesh_of(size: int) -> Snapshot:
    made = Snapshot()
    for number in range(size):
        made.put_service(service(f"s{number}", 80))
        made.put_endpoints(f"s{number}.default.svc.cluster.local", endpoints("a", "b"))
        made.put_config(vs(f"v{number}", f"s{number}"))
        made.put_config(obj("DestinationRule", f"d{number}", {"host": f"s{number}"}))
    Reader(made).hosts()
    return made


MODEL = "/argosy/model/"
CHANGES: dict[str, Callable[[Snapshot, str], object]] = {
    "an endpoint": lambda made, turn: made.put_endpoints(MIDDLE, endpoints("a", turn)),
    "a VirtualService": lambda made, turn: made.put_config(vs("v50", "s50", name=turn)),
    "a DestinationRule": lambda made, turn: made.put_config(
        obj("DestinationRule", "d50", {"host": "s50", "subsets": [{"name": turn}]})
    ),
    "a service": lambda made, turn: made.put_service(service("s50", 80, labels=(("turn", turn),))),
    "a new service": lambda made, turn: (
        made.put_service(service("extra", 80)),
        made.remove_service("extra.default.svc.cluster.local"),
    ),
}
READS: dict[str, Callable[[Reader, Scope], object]] = {
    "endpoints": lambda reader, scope: reader.endpoints(MIDDLE),
    "a route table": lambda reader, scope: reader.route_table(scope, MIDDLE, 80),
    "a destination": lambda reader, scope: reader.destination(scope, MIDDLE),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_costs_the_same_in_a_mesh_of_any_size(change: str) -> None:
    counts, told = [], []
    for size in SIZES:
        made = mesh_of(size)
        CHANGES[change](made, "before")
        counts.append(lines(lambda: told.append(CHANGES[change](made, "after")), MODEL))  # noqa: B023
    assert counts[0] == counts[1] > 0
    assert told[0] == told[1]


@pytest.mark.parametrize("read", READS)
def test_a_question_costs_the_same_in_a_mesh_of_any_size(read: str) -> None:
    counts, facts = [], []
    for size in SIZES:
        made = mesh_of(size)
        asked = scope(made)
        READS[read](Reader(made), asked)  # the names of a host are worked out once
        reader = Reader(made)
        counts.append(lines(lambda: READS[read](reader, asked), MODEL))  # noqa: B023
        facts.append(reader.facts)
    assert counts[0] == counts[1] > 0
    assert facts[0] == facts[1]
