from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import Mesh, running_mesh


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh of this test alone: the server runs, no workload yet."""
    with running_mesh(tmp_path / "state") as running:
        yield running


@pytest.fixture(scope="module")
def shared_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh of this module's tests: they leave it as they found it."""
    with running_mesh(tmp_path_factory.mktemp("mesh") / "state") as running:
        yield running
