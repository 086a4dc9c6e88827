"""Rows of the acceptance table: Helm, 3 and 4, with a small chart of the mesh's kinds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.servers.acceptance.objects import Json
from tests.servers.acceptance.targets import Target
from tests.servers.kubectl import Kubectl, tools

CHART = str(Path(__file__).parent / "chart")


@pytest.fixture
def helm(target: Target, version: str, namespace: str) -> Kubectl:
    """Called as kubectl is: by its arguments, with a kubeconfig and a home."""
    admin = target.kubectl(version, "admin", namespace)
    home = Path(admin.environment["HOME"])
    return Kubectl(tools(version).helm, target.kubeconfig("admin", namespace), home)


def subset(kubectl: Kubectl) -> str:
    return kubectl.ok("get", "vs", "mine", "-o", "jsonpath={.spec.http[0].route[0].destination.subset}")


def releases(helm: Kubectl) -> list[tuple[str, str, str]]:
    found: list[Json] = json.loads(helm.ok("list", "-o", "json"))
    return [(each["name"], each["revision"], each["status"]) for each in found]


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(helm: Kubectl, kubectl: Kubectl) -> None:
    helm.ok("install", "mine", CHART, "--wait", "--timeout=30s")
    assert (subset(kubectl), releases(helm)) == ("v1", [("mine", "1", "deployed")])
    helm.ok("upgrade", "mine", CHART, "--set", "subset=v2", "--wait", "--timeout=30s")
    assert (subset(kubectl), releases(helm)) == ("v2", [("mine", "2", "deployed")])
    helm.ok("rollback", "mine", "1", "--wait", "--timeout=30s")
    assert (subset(kubectl), releases(helm)) == ("v1", [("mine", "3", "deployed")])
    assert "STATUS: deployed" in helm.ok("status", "mine")
    assert "subset: v1" in helm.ok("get", "manifest", "mine")
    assert len(json.loads(helm.ok("history", "mine", "-o", "json"))) == 3
    helm.ok("uninstall", "mine", "--wait", "--timeout=30s")
    assert releases(helm) == []
    assert kubectl.ok("get", "vs,dr", "-o", "name") == ""


def test_a_release_that_is_refused_has_failed_and_is_mended(helm: Kubectl, kubectl: Kubectl) -> None:
    helm.ok("install", "mine", CHART)
    refused = helm("upgrade", "mine", CHART, "--set", "timeout=soon")
    assert (refused.returncode, "timeout" in refused.stderr) == (1, True), refused.stderr
    assert subset(kubectl) == "v1"
    assert releases(helm) == [("mine", "2", "failed")]
    helm.ok("upgrade", "--install", "mine", CHART, "--set", "subset=v2")
    assert (subset(kubectl), releases(helm)) == ("v2", [("mine", "3", "deployed")])
