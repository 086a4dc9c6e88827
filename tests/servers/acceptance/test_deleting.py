"""Rows of the acceptance table: what kubectl deletes, and what goes with it."""

from __future__ import annotations

import pytest

from tests.servers.acceptance.objects import ROUTE, route, route_named
from tests.servers.kubectl import Kubectl

PATCH = ("patch", "vs", "reviews")


def test_deletion_waits_for_finalizers(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    kubectl.ok(*PATCH, "--type=merge", "-p", '{"metadata":{"finalizers":["a.dev/x"]}}')
    kubectl.ok("delete", "vs", "reviews", "--wait=false")
    assert route(kubectl)["metadata"]["deletionTimestamp"]
    waiting = kubectl("delete", "vs", "reviews", "--timeout=1s")
    assert (waiting.returncode, "timed out" in waiting.stderr) == (1, True)
    kubectl.ok(*PATCH, "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    kubectl.ok("wait", "--for=delete", "vs/reviews", "--timeout=20s")


def test_many_are_deleted_at_once(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=f"{route_named('a')}---{route_named('b')}---{ROUTE}")
    assert "deleted" in kubectl.ok("delete", "vs", "-l", "app=reviews", "--field-selector=metadata.name=a")
    kubectl.ok("delete", "-f", "-", "--ignore-not-found", stdin=f"{ROUTE}---{route_named('absent')}")
    assert kubectl.ok("get", "vs", "-o", "name") == "virtualservice.networking.istio.io/b\n"
    kubectl.ok("delete", "vs", "--all")
    assert kubectl.ok("get", "vs", "-o", "name") == ""


def test_a_collection_is_deleted_by_one_request(kubectl: Kubectl, namespace: str) -> None:
    kubectl.ok("create", "-f", "-", stdin=f"{route_named('a')}---{route_named('b')}")
    kubectl.ok("delete", "--raw", f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices")
    assert kubectl.ok("get", "vs", "-o", "name") == ""


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_what_it_owns_goes_with_it(kubectl: Kubectl, cascade: str) -> None:
    kubectl.ok("create", "-f", "-", stdin=owned_route(kubectl))
    kubectl.ok("delete", "cm", "owner", f"--cascade={cascade}", "--timeout=10s")
    kubectl.ok("wait", "--for=delete", "vs/reviews", "--timeout=10s")


def test_what_it_owns_stays_as_an_orphan(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=owned_route(kubectl))
    kubectl.ok("delete", "cm", "owner", "--cascade=orphan", "--timeout=10s")
    assert "ownerReferences" not in route(kubectl)["metadata"]


def owned_route(kubectl: Kubectl) -> str:
    kubectl.ok("create", "configmap", "owner")
    uid = kubectl.ok("get", "cm", "owner", "-o", "jsonpath={.metadata.uid}")
    reference = f"[{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}, blockOwnerDeletion: true}}]"
    return ROUTE.replace("labels:", f"ownerReferences: {reference}, labels:")


def test_a_namespace_is_deleted_with_what_is_in_it(kubectl: Kubectl, namespace: str) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    kubectl.ok("delete", "namespace", namespace, "--timeout=10s")
    refused = kubectl("create", "-f", "-", stdin=ROUTE)
    assert f'namespaces "{namespace}" not found' in refused.stderr
