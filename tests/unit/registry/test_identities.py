"""Who may be an endpoint of a service that says what it may run as."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.registry.objects import ObjectRegistry
from argosy.resources.meta import Object
from tests.unit.registry.objects import REVIEWS, service, service_entry, slice_of, workload

MESH, PLAIN = {"security.istio.io/tlsMode": "istio"}, {"security.istio.io/tlsMode": "disabled"}
SIDECAR = [{"workload": 80, "bind": 20001, "application": 80}]
IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"


def found(host: str, *objects: Object) -> tuple[ir.Endpoint, ...]:
    registry = ObjectRegistry(trust_domain="cluster.local", domain_suffix="cluster.local")
    return dict(registry.upsert_all(objects).endpoints).get(host, ())


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ({"serviceAccount": "reviews", "sidecar": SIDECAR}, True),
        ({"serviceAccount": "reviews", "labels": MESH}, True),
        ({"sidecar": SIDECAR}, True),  # says nothing: its certificate does
        ({"serviceAccount": "rogue", "sidecar": SIDECAR}, False),
        ({"serviceAccount": "rogue", "labels": MESH}, False),
        ({"serviceAccount": "reviews"}, False),
        ({"serviceAccount": "reviews", "sidecar": SIDECAR, "labels": PLAIN}, False),
        ({"serviceAccount": "other-reviews", "sidecar": SIDECAR}, False),
    ],
)
def test_an_entry(said: dict[str, Any], counts: bool) -> None:
    entry = workload("a", **said)
    assert bool(found(REVIEWS, service("reviews", accounts="reviews"), entry)) == counts
    assert found(REVIEWS, service("reviews"), entry), (
        "a Service that says nothing takes what it selects, as in Istio"
    )


def test_an_account_of_another_namespace_is_written_with_it() -> None:
    registry = ObjectRegistry(trust_domain="cluster.local", domain_suffix="cluster.local")
    (told,) = registry.upsert_all([service("reviews", accounts="shop/web, reviews")]).services
    assert told.subject_alt_names == (IDENTITY, "spiffe://cluster.local/ns/shop/sa/web")


@pytest.mark.parametrize("accounts", ["", "reviews"])
def test_what_somebody_writes_for_a_service(accounts: str) -> None:
    named = service("reviews", {"name": "http", "port": 80}, accounts=accounts, selector={})
    assert bool(found(REVIEWS, named, slice_of("10.0.0.1"))) == (not accounts)


@pytest.mark.parametrize(
    ("location", "names", "labels", "counts"),
    [
        ("MESH_INTERNAL", [IDENTITY], {}, False),
        ("MESH_INTERNAL", [IDENTITY], MESH, True),
        ("MESH_INTERNAL", [], {}, True),
        ("MESH_EXTERNAL", [IDENTITY], {}, True),  # its DestinationRule says how it is reached
    ],
)
def test_a_service_entry(location: str, names: list[str], labels: dict[str, str], counts: bool) -> None:
    entry = service_entry(
        "reviews", "reviews.internal", location=location, subjectAltNames=names,
        workloadSelector={"labels": {"app": "reviews"}},
    )  # fmt: skip
    assert bool(found("reviews.internal", entry, workload("a", labels=labels))) == counts


def test_what_the_author_of_a_service_entry_writes_himself_counts() -> None:
    entry = service_entry(
        "reviews", "reviews.internal", location="MESH_INTERNAL", subjectAltNames=[IDENTITY],
        endpoints=[{"address": "10.0.0.1"}],
    )  # fmt: skip
    assert found("reviews.internal", entry)
