"""Random changes against a dumb oracle: a registry that is given everything at once. And what one change costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.model.facts import Fact, FactKind
from argosy.model.snapshot import Snapshot
from argosy.registry import hosts
from argosy.registry.objects import ObjectRegistry
from argosy.resources.meta import Object
from tests.long.conftest import count
from tests.unit.registry.objects import endpoints, service, service_entry, slice_of, workload

NAMES = ("default/a", "default/a", "default/b", "shop/a")
ADDRESSES = ("10.5.5.5", "10.6.6.6")
HOSTS = ("x.com", "a.default.svc.cluster.local")
selectors = st.sampled_from(({}, {"app": "a"}, {"app": "a"}, {"app": "a", "version": "v1"}))
ports = st.lists(
    st.sampled_from((("http", 80), ("tcp", 90), ("http", 81))),
    min_size=1,
    max_size=2,
    unique_by=lambda port: port[0],
)
created = st.sampled_from(("", "2020-01-01T00:00:00Z"))
SIDECAR = [{"workload": 80, "bind": 15080, "application": 8080, "protocol": "http"}]

services = st.builds(
    lambda name, selector, ports, created: service(
        name, *({"name": n, "port": p} for n, p in ports), selector=selector, created=created
    ),
    st.sampled_from(NAMES),
    selectors,
    ports,
    created,
)
entries = st.builds(
    lambda name, hosts, ports, created, more: service_entry(
        name,
        *hosts,
        created=created,
        ports=[{"name": n, "number": p, "protocol": "TCP"} for n, p in ports],
        **more,
    ),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True),
    ports,
    created,
    st.one_of(
        selectors.map(lambda selector: {"workloadSelector": {"labels": selector}}),
        st.just({"endpoints": [{"address": "10.9.9.9"}]}),
        st.just({"resolution": "DNS"}),
    ),
)
workloads = st.builds(
    lambda name, labels, more: workload(name, "", labels=labels, **more),
    st.sampled_from(NAMES),
    selectors,
    st.fixed_dictionaries({}, optional={"sidecar": st.just(SIDECAR), "weight": st.sampled_from((1, 2))}),
)
bare = st.builds(
    lambda name, ports, more: service(name, *({"name": n, "port": p} for n, p in ports), selector={}, **more),
    st.sampled_from(NAMES),
    ports,
    st.sampled_from(
        ({}, {"type": "ExternalName", "externalName": "b.default.svc.cluster.local", "ports": []}, {})
    ),
)
backings = st.one_of(
    st.builds(
        lambda name, address: endpoints(address, name=name),
        st.sampled_from(NAMES),
        st.sampled_from(ADDRESSES),
    ),
    st.builds(
        lambda name, of, address, kind: slice_of(address, name=name, of=of, kind=kind),
        st.sampled_from(NAMES),
        st.sampled_from(("a", "b", "")),
        st.sampled_from(ADDRESSES),
        st.sampled_from(("IPv4", "IPv4", "FQDN")),
    ),
)
removals = st.tuples(
    st.sampled_from(("Service", "ServiceEntry", "WorkloadEntry", "Endpoints", "EndpointSlice")),
    st.sampled_from(NAMES),
).map(lambda ref: (ref[0], *ref[1].split("/")))


def state(made: Snapshot) -> tuple[Any, ...]:
    aliases = {host: made.aliases.get(host) for host in (*HOSTS, "b.default.svc.cluster.local")}
    return made.services, made.endpoints, made.workloads, aliases


changes = st.lists(st.one_of(services, entries, workloads, bare, backings, removals), min_size=4, max_size=20)


@settings(max_examples=150, deadline=None)
@given(changes)
def test_any_order_of_changes_ends_where_everything_at_once_does(steps: list[Any]) -> None:
    check(steps)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=count(full=10_000, short=300), deadline=None)
@given(changes)
def test_very_many_orders_of_changes_end_where_everything_at_once_does(steps: list[Any]) -> None:
    check(steps)


def check(steps: list[Any]) -> None:
    registry, made = ObjectRegistry(), Snapshot()
    there: dict[tuple[str, str, str], Object] = {}
    for step in steps:
        if isinstance(step, tuple):
            there.pop(step, None)
            update = registry.remove(*step)
        else:
            there[step.kind, step.metadata.namespace, step.metadata.name] = step
            update = registry.upsert(step)
        made.apply(update)
        oracle, expected = ObjectRegistry(), Snapshot()
        expected.apply(oracle.upsert_all(obj for _, obj in sorted(there.items())))
        assert state(made) == state(expected)
        assert registry.shadowed == oracle.shadowed
        for hostname in made.services:
            fact = Fact(FactKind.SERVICE, hostname)
            assert made.contributors(fact) == expected.contributors(fact)
        if not isinstance(step, tuple):
            assert not registry.upsert(step)


@pytest.mark.parametrize("size", [100, 10_000])
def test_one_changed_workload_makes_only_its_own_endpoints(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ObjectRegistry()
    registry.upsert_all(service(f"s{number}") for number in range(size))
    registry.upsert_all(workload(f"w{number}", "s7") for number in range(50))
    made: list[str] = []
    looked: list[object] = []
    endpoints_of, matches = hosts.endpoints_of, ObjectRegistry._claims_for

    def counted(claim: Any, ports: Any, entry: Any) -> Any:
        made.append(entry.name)
        return endpoints_of(claim, ports, entry)

    def counted_claims(self: ObjectRegistry, entry: Any) -> Any:
        for key in matches(self, entry):
            looked.append(key)
            yield key

    monkeypatch.setattr("argosy.registry.objects.endpoints_of", counted)
    monkeypatch.setattr(ObjectRegistry, "_claims_for", counted_claims)
    update = registry.upsert(workload("w3", "s7", weight=5))
    assert made == ["w3"]
    assert len(looked) == 1
    assert [hostname for hostname, _ in update.endpoints] == ["s7.default.svc.cluster.local"]
    assert not update.services
    assert not update.workloads
