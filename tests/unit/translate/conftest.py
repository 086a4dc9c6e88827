"""A small mesh for the tests of the room, built from the model's own structs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from argosy.model import ir
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import Proxy
from tests.unit.translate.mesh import populate


@pytest.fixture
def snapshot() -> Snapshot:
    found = Snapshot(ir.Mesh(h2_upgrade=True))
    populate(found)
    return found


@pytest.fixture
def explicit() -> Scope:
    return Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")


@pytest.fixture
def redirect() -> Scope:
    return Scope(type=ProxyType.SIDECAR, interception=Interception.REDIRECT, namespace="default")


@pytest.fixture
def proxy_of() -> Callable[..., Proxy]:
    def make(scope: Scope, name: str = "reviews-v1", **fields: object) -> Proxy:
        return Proxy(namespace="default", name=name, scope=scope, **fields)  # type: ignore[arg-type]

    return make
