"""Mesh settings out of the ConfigMap."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.reader import Reader
from argosy.model.snapshot import Snapshot
from tests.unit.model.written import mesh_config


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        ("", {}),
        ("{}", {}),
        ("someFieldOfTomorrow: 1", {}),
        ("h2UpgradePolicy: UPGRADE", {"h2_upgrade": True}),
        ("trustDomain: example.org", {"trust_domain": "example.org"}),
        ("rootNamespace: root", {"root_namespace": "root"}),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", {"outbound_allow_any": False}),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY}", {}),
        ("connectTimeout: 1.5s", {"connect_timeout": 1500}),
        ("accessLogFile: /dev/stdout", {"access_log_file": "/dev/stdout"}),
        ("accessLogEncoding: TEXT", {"access_log_json": False}),
        ("defaultHttpRetryPolicy: {attempts: 0}", {"default_retry": None}),
        ("trustDomainAliases: [old.example]", {"trust_domain_aliases": ("old.example",)}),
        ("dnsRefreshRate: 5s", {"dns_refresh_rate": 5000}),
        ("tcpKeepalive: {time: 60s}", {"keepalive": ir.KeepAlive(time=60_000)}),
        ("enableAutoMtls: false", {"auto_mtls": False}),
        (
            "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 3}}}",
            {"connection_pool": ir.ConnectionPool(max_connections=3)},
        ),
        (
            "defaultTrafficPolicy: {outlierDetection: {interval: 3s}}",
            {"outlier": ir.OutlierDetection(interval=3000)},
        ),
        (
            "defaultHttpRetryPolicy: {attempts: 1, retryOn: 5xx}",
            {"default_retry": ir.RetryPolicy(attempts=1, retry_on=("5xx",))},
        ),
    ],
)
def test_what_is_written_and_nothing_else_differs_from_the_defaults(
    written: str, changes: dict[str, Any]
) -> None:
    made = Snapshot()
    facts = made.put_config(mesh_config(written))
    assert made.rejected == {}
    assert Reader(made).mesh() == ir.Mesh(**changes)
    assert facts == ({Fact(FactKind.MESH)} if changes else set())


def test_what_the_snapshot_was_given_holds_where_nothing_is_written() -> None:
    made = Snapshot(ir.Mesh(trust_domain="example.org"))
    made.put_config(mesh_config("h2UpgradePolicy: UPGRADE"))
    assert Reader(made).mesh() == ir.Mesh(trust_domain="example.org", h2_upgrade=True)
    assert made.remove_config("ConfigMap", "istio-system", "istio") == {Fact(FactKind.MESH)}
    assert Reader(made).mesh() == ir.Mesh(trust_domain="example.org")


@pytest.mark.parametrize(
    "text", ["{", "- a", "connectTimeout: soon", "h2UpgradePolicy: MAYBE", "defaultHttpRetryPolicy: 3"]
)
def test_wrong_settings_are_rejected_and_the_last_good_ones_stay(text: str) -> None:
    made = Snapshot()
    made.put_config(mesh_config("h2UpgradePolicy: UPGRADE"))
    assert made.put_config(mesh_config(text)) == set()
    assert "data.mesh" in made.rejected["ConfigMap", "istio-system", "istio"]
    assert Reader(made).mesh() == ir.Mesh(h2_upgrade=True)


def test_other_config_maps_are_not_mesh_settings() -> None:
    made = Snapshot()
    assert made.put_config(mesh_config("h2UpgradePolicy: UPGRADE", name="other")) == set()
    assert made.put_config(mesh_config("h2UpgradePolicy: UPGRADE", namespace="default")) == set()
    assert Reader(made).mesh() == ir.Mesh()
