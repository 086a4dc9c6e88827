"""PeerAuthentication: workload before namespace before root namespace before PERMISSIVE."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model.ir import MtlsMode
from argosy.model.reader import Reader
from tests.unit.model.written import mesh_config, obj, snapshot

WEB = {"matchLabels": {"app": "web"}}


def pa(name: str, mode: str | None = None, *, created: str = "", **more: Any) -> Any:
    spec: dict[str, Any] = dict(more)
    if mode is not None:
        spec["mtls"] = {"mode": mode}
    return obj("PeerAuthentication", name, spec, created=created)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([], "PERMISSIVE"),
        ([pa("istio-system/d", "STRICT")], "STRICT"),
        ([pa("shop/d", "STRICT")], "STRICT"),
        ([pa("other/d", "STRICT")], "PERMISSIVE"),
        ([pa("istio-system/d", "STRICT"), pa("shop/d", "DISABLE")], "DISABLE"),
        ([pa("istio-system/d", "STRICT"), pa("shop/d", "UNSET")], "STRICT"),
        ([pa("istio-system/d", "STRICT"), pa("shop/d")], "STRICT"),
        ([pa("shop/d", "STRICT"), pa("shop/w", "DISABLE", selector=WEB)], "DISABLE"),
        ([pa("shop/d", "STRICT"), pa("shop/w", "UNSET", selector=WEB)], "STRICT"),
        ([pa("shop/w", "STRICT", selector={"matchLabels": {"app": "other"}})], "PERMISSIVE"),
        ([pa("istio-system/w", "STRICT", selector=WEB)], "PERMISSIVE"),
        ([pa("shop/w", "STRICT", selector={})], "STRICT"),
        (
            [
                pa("shop/new", "DISABLE", created="2021-01-01T00:00:00Z"),
                pa("shop/old", "STRICT", created="2020-01-01T00:00:00Z"),
            ],
            "STRICT",
        ),
        (
            [
                pa("shop/a", "DISABLE", selector=WEB, created="2021-01-01T00:00:00Z"),
                pa("shop/b", "STRICT", selector=WEB, created="2020-01-01T00:00:00Z"),
            ],
            "STRICT",
        ),
    ],
)
def test_whose_mode_holds(policies: list[Any], expected: str) -> None:
    assert Reader(snapshot(*policies)).peer_mtls("shop", (("app", "web"),), 80) == expected


@pytest.mark.parametrize(
    ("port", "expected"), [(80, "STRICT"), (90, "DISABLE"), (91, "STRICT"), (92, "PERMISSIVE")]
)
def test_a_port_has_its_own_mode_beside_a_selector(port: int, expected: str) -> None:
    ports = {"90": {"mode": "DISABLE"}, "91": {"mode": "UNSET"}, "92": {"mode": "PERMISSIVE"}}
    made = snapshot(pa("shop/w", "STRICT", selector=WEB, portLevelMtls=ports))
    assert Reader(made).peer_mtls("shop", (("app", "web"), ("x", "y")), port) == expected


def test_ports_without_a_selector_do_not_count() -> None:
    made = snapshot(pa("shop/d", "STRICT", portLevelMtls={"90": {"mode": "DISABLE"}}))
    assert Reader(made).peer_mtls("shop", (), 90) is MtlsMode.STRICT


def test_the_root_namespace_is_what_mesh_settings_say() -> None:
    made = snapshot(
        mesh_config("rootNamespace: root"), pa("root/d", "STRICT"), pa("istio-system/d", "DISABLE")
    )
    assert Reader(made).peer_mtls("shop", (), 80) is MtlsMode.STRICT


@pytest.mark.parametrize(
    ("selector", "concerned"),
    [
        ({}, True),
        (WEB, True),
        ({"matchLabels": {"app": "other"}}, False),
        ({"matchLabels": {"version": "1"}}, False),
    ],
)
def test_a_policy_concerns_whom_it_selects(selector: dict[str, Any], concerned: bool) -> None:
    made = snapshot()
    reader = Reader(made)
    reader.peer_mtls("shop", (("app", "web"),), 80)
    told = made.put_config(pa("shop/w", "STRICT", selector=selector))
    assert bool(told & reader.facts) == concerned
    assert told == made.facts_of("PeerAuthentication", "shop", "w")


def test_a_changed_selector_concerns_those_before_and_those_after() -> None:
    made = snapshot(pa("shop/w", "STRICT", selector=WEB))
    readers = {app: Reader(made) for app in ("web", "other", "third")}
    for app, reader in readers.items():
        reader.peer_mtls("shop", (("app", app),), 80)
    told = made.put_config(pa("shop/w", "STRICT", selector={"matchLabels": {"app": "other"}}))
    assert {app for app, reader in readers.items() if told & reader.facts} == {"web", "other"}
