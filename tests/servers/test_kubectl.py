"""The real kubectl against the API server of a memory store."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.api import running_api
from tests.servers.kubectl import VERSIONS, Kubectl, tools

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop, labels: {app: reviews}}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
"""


@pytest.fixture(params=VERSIONS)
def kubectl(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kubectl]:
    found = tools(request.param)
    with running_api(tmp_path) as config:
        yield Kubectl(found.kubectl, config, tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_binaries_are_of_the_version_they_are_asked_for(version: str) -> None:
    found = tools(version)
    said = subprocess.run([found.kubectl, "version", "--client"], capture_output=True, text=True, check=True)
    assert f"v{version}." in said.stdout
    said = subprocess.run([found.helm, "version", "--short"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("v")


def test_an_object_is_created_shown_and_deleted(kubectl: Kubectl) -> None:
    assert "created" in kubectl.ok("create", "--validate=false", "-f", "-", stdin=ROUTE)
    assert (
        kubectl.ok("get", "vs", "-n", "shop", "-o", "name") == "virtualservice.networking.istio.io/reviews\n"
    )
    assert "deleted" in kubectl.ok("delete", "vs", "reviews", "-n", "shop")
    assert "not found" in kubectl("get", "vs", "reviews", "-n", "shop").stderr
