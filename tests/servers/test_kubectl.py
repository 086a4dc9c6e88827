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

SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop}
data: {a: YQ==, b: Yg==}
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


def test_get_prints_a_table_in_the_columns_of_the_kind(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    kubectl.ok("create", "-f", "-", stdin=SECRET)
    header, row = kubectl.ok("get", "vs", "-A").splitlines()
    assert header.split()[:2] == ["NAMESPACE", "NAME"]
    assert (header.split()[-1], row.split()[:2]) == ("AGE", ["shop", "reviews"])
    header, row = kubectl.ok("get", "secret", "-n", "shop").splitlines()
    assert header.split() == ["NAME", "TYPE", "DATA", "AGE"]
    assert row.split()[:3] == ["key", "Opaque", "2"]
    header, row = kubectl.ok("get", "vs", "-n", "shop", "--show-labels").splitlines()
    assert (header.split()[-1], row.split()[-1]) == ("LABELS", "app=reviews")
    assert kubectl.ok("get", "vs", "-n", "shop", "-L", "app", "--no-headers").split()[-1] == "reviews"
    named = kubectl.ok("get", "vs", "-n", "shop", "-o", "custom-columns=HOSTS:.spec.hosts[0]")
    assert named.split() == ["HOSTS", "reviews"]


def test_get_watches_in_a_table(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    done = kubectl("get", "vs", "-n", "shop", "--watch", "--request-timeout=2s")
    header, row = done.stdout.splitlines()
    assert (header.split()[0], row.split()[0]) == ("NAME", "reviews")


def test_resources_are_discovered_by_every_name(kubectl: Kubectl) -> None:
    lines = [line.split() for line in kubectl.ok("api-resources", "--no-headers").splitlines()]
    assert ["virtualservices", "vs", "networking.istio.io/v1", "true", "VirtualService"] in lines
    wide = kubectl.ok("api-resources", "-o", "wide", "--api-group=apiextensions.k8s.io")
    assert "get,list,watch" in wide
    versions = kubectl.ok("api-versions").split()
    assert {"v1", "networking.istio.io/v1", "networking.istio.io/v1alpha3"} <= set(versions)
    for name in ("vs", "virtualservice", "virtualservices.v1alpha3.networking.istio.io"):
        kubectl.ok("get", name, "-n", "shop")


def test_explain_reads_the_documents(kubectl: Kubectl) -> None:
    told = kubectl.ok("explain", "crd.spec.versions")
    assert "GROUP:      apiextensions.k8s.io" in told
    assert "FIELD: versions <[]Version>" in told
    assert "Whether objects are stored in it: of one version alone." in told
    retries = kubectl.ok("explain", "virtualservice.spec.http.retries")
    assert "FIELD: retries <HTTPRetry>" in retries
    assert "perTryTimeout\t<string>\n    How long one try may take" in retries
    assert "<no description>" not in retries
    assert "<map[string]StringMatch>" in kubectl.ok("explain", "vs.spec.http.match", "--recursive")
    old = kubectl.ok("explain", "vs.spec", "--api-version=networking.istio.io/v1beta1")
    assert "VERSION:    v1beta1" in old
    assert "does not exist" in kubectl("explain", "vs.spec.nothing").stderr


def test_apply_diff_and_dry_run_find_what_they_look_for(kubectl: Kubectl) -> None:
    assert "created" in kubectl.ok("apply", "-f", "-", stdin=ROUTE)
    changed = ROUTE.replace("host: reviews", "host: other")
    assert "server dry run" in kubectl.ok("apply", "--dry-run=server", "-f", "-", stdin=changed)
    difference = kubectl("diff", "-f", "-", stdin=changed)
    assert difference.returncode == 1
    assert "+        host: other" in difference.stdout
    assert "configured" in kubectl.ok("apply", "-f", "-", stdin=changed)
    refused = kubectl("apply", "-f", "-", stdin=ROUTE.replace("hosts:", "hostz:"))
    assert refused.returncode == 1
    assert "spec.hostz" in refused.stderr


def test_the_kinds_are_established_and_cannot_be_changed(kubectl: Kubectl) -> None:
    names = kubectl.ok("get", "crd", "-o", "name").split()
    assert "customresourcedefinition.apiextensions.k8s.io/virtualservices.networking.istio.io" in names
    waited = kubectl.ok("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
    assert waited.count("condition met") == len(names)
    refused = kubectl("delete", "crd", "virtualservices.networking.istio.io")
    assert refused.returncode == 1
    assert "read-only" in refused.stderr
