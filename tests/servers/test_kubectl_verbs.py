"""The real kubectl and the verbs that change: server-side apply, patches, edits, deletion, and bodies in protobuf."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.store.base import Store
from argosy.store.etcd.address import parse
from argosy.store.etcd.store import EtcdStore
from tests.servers.api import running_api
from tests.servers.etcd import etcd
from tests.servers.kubectl import VERSIONS, Kubectl, tools

Json = dict[str, Any]
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop, labels: {app: reviews}}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
"""


@pytest.fixture(params=[*VERSIONS, "etcd"])
def kubectl(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kubectl]:
    """Each version over a store in memory; and the newest over etcd."""
    if request.param != "etcd":
        with running_api(tmp_path) as config:
            yield Kubectl(tools(request.param).kubectl, config, tmp_path)
        return
    with etcd(tmp_path / "etcd", options=["--unsafe-no-fsync"]) as cluster:

        async def opening() -> Store:
            return await EtcdStore.open(parse(cluster.url()))

        with running_api(tmp_path, opening) as config:
            yield Kubectl(tools(VERSIONS[-1]).kubectl, config, tmp_path)


def route(kubectl: Kubectl) -> Json:
    found: Json = json.loads(
        kubectl.ok("get", "vs", "reviews", "-n", "shop", "-o", "json", "--show-managed-fields")
    )
    return found


def managers(obj: Json) -> set[tuple[str, str]]:
    return {(each["manager"], each["operation"]) for each in obj["metadata"]["managedFields"]}


def test_server_side_apply_merges_conflicts_and_is_forced(kubectl: Kubectl) -> None:
    assert "serverside-applied" in kubectl.ok("apply", "--server-side", "-f", "-", stdin=ROUTE)
    assert managers(route(kubectl)) == {("kubectl", "Apply")}
    changed = ROUTE.replace("hosts: [reviews]", "hosts: [other]")
    refused = kubectl("apply", "--server-side", "--field-manager=ann", "-f", "-", stdin=changed)
    assert refused.returncode == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.hosts' in refused.stderr
    assert "--force-conflicts" in refused.stderr
    kubectl.ok("apply", "--server-side", "--field-manager=ann", "--force-conflicts", "-f", "-", stdin=changed)
    now = route(kubectl)
    assert now["spec"]["hosts"] == ["other"]
    assert managers(now) == {("kubectl", "Apply"), ("ann", "Apply")}
    assert (kubectl("diff", "--server-side", "--field-manager=ann", "-f", "-", stdin=changed)).returncode == 0


def test_client_side_apply_becomes_server_side_apply(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=ROUTE)
    assert managers(route(kubectl)) == {("kubectl-client-side-apply", "Update")}
    changed = ROUTE.replace("app: reviews", "tier: front").replace("hosts: [reviews]", "hosts: [other]")
    kubectl.ok("apply", "--server-side", "-f", "-", stdin=changed)
    now = route(kubectl)
    assert now["metadata"]["labels"] == {"tier": "front"}, (
        "what was applied before and is not any more is gone"
    )
    assert now["spec"]["hosts"] == ["other"]
    # kubectl notes what it last applied on the client side as a manager of its own.
    assert managers(now) - {("kubectl-last-applied", "Apply")} == {("kubectl", "Apply")}
    kubectl.ok("apply", "-f", "-", stdin=ROUTE)
    assert route(kubectl)["metadata"]["labels"] == {"app": "reviews"}, "and back again"


def test_patches_of_every_kind(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    patch = ("patch", "vs", "reviews", "-n", "shop")
    kubectl.ok(*patch, "--type=merge", "-p", '{"spec":{"hosts":["a"]}}')
    kubectl.ok(*patch, "--type=json", "-p", '[{"op":"add","path":"/spec/hosts/-","value":"b"}]')
    assert route(kubectl)["spec"]["hosts"] == ["a", "b"]
    failed = kubectl(*patch, "--type=json", "-p", '[{"op":"test","path":"/spec/hosts","value":[]}]')
    assert (failed.returncode, "does not hold" in failed.stderr) == (1, True)
    unsupported = kubectl(*patch, "-p", "{}")  # a strategic merge patch, which kinds of our own have not
    assert unsupported.returncode == 1
    kubectl.ok("label", "vs", "reviews", "-n", "shop", "tier=front", "app-")
    kubectl.ok("annotate", "vs", "reviews", "-n", "shop", "note=x")
    now = route(kubectl)["metadata"]
    assert (now["labels"], now["annotations"]["note"]) == ({"tier": "front"}, "x")
    subresource = ("--subresource=status", "--type=merge", "-p", '{"status":{"observedGeneration":1}}')
    kubectl.ok(*patch, *subresource)
    assert route(kubectl)["status"] == {"observedGeneration": 1}


def test_a_service_is_patched_strategically(kubectl: Kubectl) -> None:
    kubectl.ok("create", "service", "clusterip", "web", "--tcp=80:8080", "-n", "shop")
    more = '{"spec":{"ports":[{"port":443,"name":"https"}]}}'
    kubectl.ok("patch", "service", "web", "-n", "shop", "-p", more)
    ports = kubectl.ok("get", "service", "web", "-n", "shop", "-o", "jsonpath={.spec.ports[*].port}")
    assert sorted(ports.split()) == ["443", "80"]
    gone = '{"spec":{"ports":[{"port":80,"$patch":"delete"}]}}'
    kubectl.ok("patch", "service", "web", "-n", "shop", "-p", gone)
    ports = kubectl.ok("get", "service", "web", "-n", "shop", "-o", "jsonpath={.spec.ports[*].port}")
    assert ports == "443"


def test_edit_and_replace(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/- reviews$/- edited/' \"$1\"\n")
    editor.chmod(0o755)
    done = kubectl("edit", "vs", "reviews", "-n", "shop", env={"EDITOR": str(editor)})
    assert (done.returncode, "edited" in done.stdout) == (0, True), done.stderr
    assert route(kubectl)["spec"]["hosts"] == ["edited"]
    kubectl.ok("replace", "-f", "-", stdin=ROUTE)
    assert route(kubectl)["spec"]["hosts"] == ["reviews"]


def test_kubernetes_own_kinds_are_created_as_kubectl_sends_them(kubectl: Kubectl) -> None:
    """From 1.33 on in protobuf."""
    kubectl.ok("create", "namespace", "team")
    assert kubectl.ok("get", "ns", "team", "-o", "jsonpath={.status.phase}") == "Active"
    kubectl.ok("create", "secret", "generic", "key", "--from-literal=a=text", "-n", "team")
    assert kubectl.ok("get", "secret", "key", "-n", "team", "-o", "jsonpath={.data.a}") == "dGV4dA=="
    kubectl.ok("create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=2", "-n", "team")
    assert kubectl.ok("get", "cm", "settings", "-n", "team", "-o", "jsonpath={.data.a}{.data.b}") == "12"
    kubectl.ok("create", "serviceaccount", "robot", "-n", "team")
    kubectl.ok("create", "role", "reader", "--verb=get,list", "--resource=virtualservices", "-n", "team")
    kubectl.ok("create", "rolebinding", "reads", "--role=reader", "--serviceaccount=team:robot", "-n", "team")
    rules = json.loads(kubectl.ok("get", "role", "reader", "-n", "team", "-o", "jsonpath={.rules[0]}"))
    assert rules["verbs"] == ["get", "list"]
    assert rules["resources"] == ["virtualservices"]
    subjects = kubectl.ok("get", "rolebinding", "reads", "-n", "team", "-o", "jsonpath={.subjects[0].name}")
    assert subjects == "robot"


def test_deletion_waits_for_finalizers_and_takes_what_belongs_to_it(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    kubectl.ok(
        "patch",
        "vs",
        "reviews",
        "-n",
        "shop",
        "--type=merge",
        "-p",
        '{"metadata":{"finalizers":["a.dev/x"]}}',
    )
    kubectl.ok("delete", "vs", "reviews", "-n", "shop", "--wait=false")
    assert route(kubectl)["metadata"]["deletionTimestamp"]
    kubectl.ok(
        "patch",
        "vs",
        "reviews",
        "-n",
        "shop",
        "--type=json",
        "-p",
        '[{"op":"remove","path":"/metadata/finalizers"}]',
    )
    kubectl.ok("wait", "--for=delete", "vs/reviews", "-n", "shop", "--timeout=20s")
    for name in ("a", "b"):
        kubectl.ok("create", "-f", "-", stdin=ROUTE.replace("name: reviews,", f"name: {name},"))
    kubectl.ok("delete", "vs", "--all", "-n", "shop")
    assert kubectl.ok("get", "vs", "-n", "shop", "-o", "name") == ""


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_what_it_owns_goes_with_it_or_stays(kubectl: Kubectl, cascade: str) -> None:
    kubectl.ok("create", "configmap", "owner", "-n", "shop")
    uid = kubectl.ok("get", "cm", "owner", "-n", "shop", "-o", "jsonpath={.metadata.uid}")
    reference = f"[{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}, blockOwnerDeletion: true}}]"
    kubectl.ok("create", "-f", "-", stdin=ROUTE.replace("labels:", f"ownerReferences: {reference}, labels:"))
    kubectl.ok("delete", "cm", "owner", "-n", "shop", f"--cascade={cascade}", "--timeout=20s")
    if cascade == "orphan":
        assert "ownerReferences" not in route(kubectl)["metadata"]
    else:
        kubectl.ok("wait", "--for=delete", "vs/reviews", "-n", "shop", "--timeout=20s")


def test_a_namespace_is_deleted_with_what_is_in_it(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    kubectl.ok("delete", "namespace", "shop", "--timeout=20s")
    refused = kubectl("create", "-f", "-", stdin=ROUTE)
    assert 'namespaces "shop" not found' in refused.stderr


def test_long_lists_come_in_pages(kubectl: Kubectl) -> None:
    many = "---".join(ROUTE.replace("name: reviews,", f"name: v{i:02},") for i in range(12))
    kubectl.ok("create", "-f", "-", stdin=many)
    names = kubectl.ok("get", "vs", "-n", "shop", "--chunk-size=5", "-o", "name").split()
    assert len(names) == 12
    assert len(kubectl.ok("get", "vs", "-n", "shop", "--chunk-size=5").splitlines()) == 13


def test_unknown_fields_are_refused_warned_of_or_dropped(kubectl: Kubectl) -> None:
    wrong = ROUTE.replace("spec:", "spec:\n  colour: blue")
    refused = kubectl("create", "-f", "-", "--validate=strict", stdin=wrong)
    assert (refused.returncode, "colour" in refused.stderr) == (1, True)
    warned = kubectl("create", "-f", "-", "--validate=warn", stdin=wrong)
    assert (warned.returncode, "Warning" in warned.stderr) == (0, True), warned.stderr
    assert "colour" not in route(kubectl)["spec"]


def test_describe_shows_the_events_of_an_object(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    uid = route(kubectl)["metadata"]["uid"]
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "reviews.1", "namespace": "shop"}, "type": "Warning",
        "reason": "Refused", "message": "a proxy refused it", "count": 1,
        "involvedObject": {"kind": "VirtualService", "namespace": "shop", "name": "reviews", "uid": uid,
                           "apiVersion": "networking.istio.io/v1"},
    }  # fmt: skip
    kubectl.ok("create", "-f", "-", stdin=json.dumps(event))
    told = kubectl.ok("describe", "vs", "reviews", "-n", "shop")
    assert "a proxy refused it" in told
    assert "Refused" in kubectl.ok(
        "events", "-n", "shop", "--for", "virtualservice/reviews", "--types=Warning"
    )
