"""The acceptance table: each test is a row; this file multiplies it by versions of kubectl and by servers.

`make test` runs every row with the newest kubectl against our server over SQLite; the oldest is marked `long`, as are
the other servers: with the newest kubectl in the short form, with all of them in full. Where the original answers
otherwise, the row stands in `differences.py` with the reason; it must fail there, so that the list is never longer than
the truth.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.long.conftest import FULL
from tests.servers.acceptance.differences import DIFFERENCES
from tests.servers.acceptance.targets import START, Target
from tests.servers.kubectl import VERSIONS, Kubectl

Started = Callable[[str], Target]
ROWS = itertools.count()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" not in metafunc.fixturenames:
        return
    versioned = "version" in metafunc.fixturenames
    cases = []
    for server in START:
        ordinary = server == "sqlite"
        for version in VERSIONS if versioned and (ordinary or FULL) else VERSIONS[-1:]:
            newest = version == VERSIONS[-1]
            marks = [] if ordinary and newest else [pytest.mark.long]
            why = DIFFERENCES.get(metafunc.function.__name__)
            if server == "kube-apiserver" and why:
                marks.append(pytest.mark.xfail(reason=why, strict=True))
            values = (server, version) if versioned else (server,)
            cases.append(pytest.param(*values, id="-".join(values), marks=marks))
    metafunc.parametrize(("target", "version") if versioned else ("target",), cases, indirect=["target"])


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Each server once, when a row first asks for it."""
    running: dict[str, Target] = {}
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Target:
            if name not in running:
                running[name] = stack.enter_context(START[name](tmp_path_factory.mktemp(name)))
            return running[name]

        yield start


@pytest.fixture
def target(request: pytest.FixtureRequest, started: Started) -> Target:
    return started(request.param)


@pytest.fixture
def namespace(request: pytest.FixtureRequest, target: Target) -> str:
    """One for each row, so that rows do not see each other."""
    row = re.sub(r"[^a-z0-9]+", "-", request.function.__name__.removeprefix("test_").lower())
    name = f"{row[:40].strip('-')}-{next(ROWS)}"
    admin = target.kubectl(VERSIONS[-1], "admin", "default")
    admin.ok("create", "namespace", name)
    return name


@pytest.fixture
def kubectl(target: Target, version: str, namespace: str) -> Kubectl:
    """As the admin, in the namespace of the row."""
    return target.kubectl(version, "admin", namespace)


@pytest.fixture
def bob(target: Target, version: str, namespace: str) -> Kubectl:
    """As somebody who may do what the row lets him."""
    return target.kubectl(version, "bob", namespace)


@pytest.fixture
def editor(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The environment in which `kubectl edit` runs a sed script over what it is given."""

    def make(script: str) -> dict[str, str]:
        path = tmp_path / "editor"
        path.write_text(f"#!/bin/sh\nsed -i '{script}' \"$1\"\n")
        path.chmod(0o755)
        return {"EDITOR": str(path)}

    return make
