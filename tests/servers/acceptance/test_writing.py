"""Rows of the acceptance table: what kubectl creates and changes."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.servers.acceptance.objects import ROUTE, SECRET, managers, route, route_named, settings_named
from tests.servers.kubectl import Kubectl

Editor = Callable[[str], dict[str, str]]


def test_an_object_is_created_shown_and_deleted(kubectl: Kubectl) -> None:
    assert "created" in kubectl.ok("create", "--validate=false", "-f", "-", stdin=ROUTE)
    assert kubectl.ok("get", "vs", "-o", "name") == "virtualservice.networking.istio.io/reviews\n"
    again = kubectl("create", "-f", "-", stdin=ROUTE)
    assert (again.returncode, "(AlreadyExists)" in again.stderr) == (1, True)
    assert "deleted" in kubectl.ok("delete", "vs", "reviews")
    assert "not found" in kubectl("get", "vs", "reviews").stderr


def test_kubernetes_own_kinds_are_created_as_kubectl_sends_them(kubectl: Kubectl, namespace: str) -> None:
    """From 1.33 on in protobuf."""
    kubectl.ok("create", "namespace", f"{namespace}-team")
    phase = kubectl.ok("get", "ns", f"{namespace}-team", "-o", "jsonpath={.status.phase}")
    assert phase == "Active"
    kubectl.ok("create", "secret", "generic", "key", "--from-literal=a=text")
    assert kubectl.ok("get", "secret", "key", "-o", "jsonpath={.data.a}") == "dGV4dA=="
    kubectl.ok("create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=2")
    assert kubectl.ok("get", "cm", "settings", "-o", "jsonpath={.data.a}{.data.b}") == "12"
    kubectl.ok("create", "serviceaccount", "robot")
    kubectl.ok("create", "role", "reader", "--verb=get,list", "--resource=virtualservices")
    kubectl.ok("create", "rolebinding", "reads", "--role=reader", f"--serviceaccount={namespace}:robot")
    rules = json.loads(kubectl.ok("get", "role", "reader", "-o", "jsonpath={.rules[0]}"))
    assert rules["verbs"] == ["get", "list"]
    assert rules["resources"] == ["virtualservices"]
    assert kubectl.ok("get", "rolebinding", "reads", "-o", "jsonpath={.subjects[0].name}") == "robot"


def test_names_are_made_by_the_server(kubectl: Kubectl) -> None:
    generated = ROUTE.replace("name: reviews,", "generateName: reviews-,")
    for _ in range(2):
        kubectl.ok("create", "-f", "-", stdin=generated)
    names = kubectl.ok("get", "vs", "-o", "jsonpath={.items[*].metadata.name}").split()
    assert len(set(names)) == 2
    assert all(name.startswith("reviews-") for name in names)


def test_apply_diff_and_dry_run_find_what_they_look_for(kubectl: Kubectl) -> None:
    assert "created" in kubectl.ok("apply", "-f", "-", stdin=ROUTE)
    assert "unchanged" in kubectl.ok("apply", "-f", "-", stdin=ROUTE)
    changed = ROUTE.replace("host: reviews", "host: other")
    assert "server dry run" in kubectl.ok("apply", "--dry-run=server", "-f", "-", stdin=changed)
    assert "host: other" not in kubectl.ok("get", "vs", "reviews", "-o", "yaml")
    difference = kubectl("diff", "-f", "-", stdin=changed)
    assert difference.returncode == 1
    assert "+        host: other" in difference.stdout
    assert "configured" in kubectl.ok("apply", "-f", "-", stdin=changed)
    assert kubectl("diff", "-f", "-", stdin=changed).returncode == 0


def test_dry_runs_store_nothing(kubectl: Kubectl) -> None:
    kubectl.ok("create", "--dry-run=server", "-f", "-", stdin=ROUTE)
    assert kubectl.ok("get", "vs", "-o", "name") == ""
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    before = route(kubectl)
    for command in (
        ("delete", "vs", "reviews", "--dry-run=server"),
        ("label", "vs", "reviews", "tier=front", "--dry-run=server"),
        ("patch", "vs", "reviews", "--type=merge", "-p", '{"spec":{"hosts":["x"]}}', "--dry-run=server"),
    ):
        kubectl.ok(*command)
        assert route(kubectl) == before, command


def test_unknown_fields_are_refused_with_their_path(kubectl: Kubectl) -> None:
    refused = kubectl("apply", "-f", "-", stdin=ROUTE.replace("hosts:", "hostz:"))
    assert refused.returncode == 1
    assert "spec.hostz" in refused.stderr


def test_unknown_fields_are_refused_warned_of_or_dropped(kubectl: Kubectl) -> None:
    wrong = ROUTE.replace("spec:", "spec:\n  colour: blue")
    refused = kubectl("create", "-f", "-", "--validate=strict", stdin=wrong)
    assert (refused.returncode, "colour" in refused.stderr) == (1, True)
    warned = kubectl("create", "-f", "-", "--validate=warn", stdin=wrong)
    assert (warned.returncode, "Warning" in warned.stderr) == (0, True), warned.stderr
    assert "colour" not in route(kubectl)["spec"]


def test_what_the_mesh_cannot_mean_is_refused_with_field_and_reason(kubectl: Kubectl) -> None:
    refused = kubectl("apply", "-f", "-", stdin=ROUTE.replace("hosts: [reviews]", "hosts: ['a b']"))
    assert (refused.returncode, "spec.hosts[0]" in refused.stderr) == (1, True), refused.stderr


def test_server_side_apply_merges_conflicts_and_is_forced(kubectl: Kubectl) -> None:
    assert "serverside-applied" in kubectl.ok("apply", "--server-side", "-f", "-", stdin=ROUTE)
    assert managers(route(kubectl)) == {("kubectl", "Apply")}
    changed = ROUTE.replace("hosts: [reviews]", "hosts: [other]")
    as_ann = ("apply", "--server-side", "--field-manager=ann")
    refused = kubectl(*as_ann, "-f", "-", stdin=changed)
    assert refused.returncode == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.hosts' in refused.stderr
    assert "--force-conflicts" in refused.stderr
    kubectl.ok(*as_ann, "--force-conflicts", "-f", "-", stdin=changed)
    now = route(kubectl)
    assert now["spec"]["hosts"] == ["other"]
    assert managers(now) == {("kubectl", "Apply"), ("ann", "Apply")}
    difference = kubectl("diff", "--server-side", "--field-manager=ann", "-f", "-", stdin=changed)
    assert difference.returncode == 0, difference.stdout


def test_client_side_apply_becomes_server_side_apply(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=ROUTE)
    assert managers(route(kubectl)) == {("kubectl-client-side-apply", "Update")}
    changed = ROUTE.replace("app: reviews", "tier: front").replace("hosts: [reviews]", "hosts: [other]")
    kubectl.ok("apply", "--server-side", "-f", "-", stdin=changed)
    now = route(kubectl)
    assert now["metadata"]["labels"] == {"tier": "front"}, "what is not applied any more is gone"
    assert now["spec"]["hosts"] == ["other"]
    # kubectl notes what it last applied on the client side as a manager of its own.
    assert managers(now) - {("kubectl-last-applied", "Apply")} == {("kubectl", "Apply")}
    kubectl.ok("apply", "-f", "-", stdin=ROUTE)
    assert route(kubectl)["metadata"]["labels"] == {"app": "reviews"}, "and back again"


def test_patches_of_every_kind(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    patch = ("patch", "vs", "reviews")
    kubectl.ok(*patch, "--type=merge", "-p", '{"spec":{"hosts":["a"]}}')
    kubectl.ok(*patch, "--type=json", "-p", '[{"op":"add","path":"/spec/hosts/-","value":"b"}]')
    assert route(kubectl)["spec"]["hosts"] == ["a", "b"]
    failed = kubectl(*patch, "--type=json", "-p", '[{"op":"test","path":"/spec/hosts","value":[]}]')
    assert failed.returncode == 1
    unsupported = kubectl(*patch, "-p", "{}")  # a strategic merge patch, which kinds of our own have not
    assert (unsupported.returncode, "not supported" in unsupported.stderr) == (1, True), unsupported.stderr
    subresource = ("--subresource=status", "--type=merge", "-p", '{"status":{"observedGeneration":7}}')
    kubectl.ok(*patch, *subresource)
    assert route(kubectl)["status"]["observedGeneration"] == 7


def test_a_failed_test_of_a_json_patch_says_which(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    test = '[{"op":"test","path":"/spec/hosts","value":[]}]'
    failed = kubectl("patch", "vs", "reviews", "--type=json", "-p", test)
    assert (failed.returncode, "does not hold" in failed.stderr) == (1, True), failed.stderr


def test_labels_and_annotations_are_set_and_taken_away(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    kubectl.ok("label", "vs", "reviews", "tier=front", "app-")
    kubectl.ok("annotate", "vs", "reviews", "note=x")
    now = route(kubectl)["metadata"]
    assert (now["labels"], now["annotations"]["note"]) == ({"tier": "front"}, "x")
    refused = kubectl("label", "vs", "reviews", "tier=back")
    assert (refused.returncode, "--overwrite" in refused.stderr) == (1, True)
    kubectl.ok("label", "vs", "reviews", "tier=back", "--overwrite")
    kubectl.ok("annotate", "vs", "--all", "note-")
    now = route(kubectl)["metadata"]
    assert (now["labels"], now.get("annotations", {})) == ({"tier": "back"}, {})


def test_a_service_is_patched_strategically(kubectl: Kubectl) -> None:
    kubectl.ok("create", "service", "clusterip", "web", "--tcp=80:8080")

    def ports() -> list[str]:
        return sorted(kubectl.ok("get", "service", "web", "-o", "jsonpath={.spec.ports[*].port}").split())

    more = '{"spec":{"ports":[{"port":443,"name":"https"}]}}'
    kubectl.ok("patch", "service", "web", "-p", more)
    assert ports() == ["443", "80"]
    kubectl.ok("patch", "service", "web", "-p", '{"spec":{"ports":[{"port":80,"$patch":"delete"}]}}')
    assert ports() == ["443"]


def test_an_object_is_edited(kubectl: Kubectl, editor: Editor) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    done = kubectl("edit", "vs", "reviews", env=editor("s/- reviews$/- edited/"))
    assert (done.returncode, "edited" in done.stdout) == (0, True), done.stderr
    assert route(kubectl)["spec"]["hosts"] == ["edited"]
    unchanged = kubectl("edit", "vs", "reviews", env=editor("s/x/x/"))
    assert "no changes made" in unchanged.stderr + unchanged.stdout
    kubectl.ok("create", "-f", "-", stdin=SECRET)
    done = kubectl("edit", "secret", "key", env=editor("s/a: YQ==/a: Yg==/"))
    assert (done.returncode, "edited" in done.stdout) == (0, True), done.stderr


def test_an_object_is_replaced_but_not_an_older_one(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    read = route(kubectl)
    kubectl.ok("replace", "-f", "-", stdin=ROUTE.replace("hosts: [reviews]", "hosts: [other]"))
    assert route(kubectl)["spec"]["hosts"] == ["other"]
    overtaken = kubectl("replace", "-f", "-", stdin=json.dumps(read))
    assert (overtaken.returncode, "(Conflict)" in overtaken.stderr) == (1, True)
    kubectl.ok("replace", "--force", "-f", "-", stdin=ROUTE)
    assert route(kubectl)["metadata"]["uid"] != read["metadata"]["uid"]


def test_what_does_not_scale_says_so(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    refused = kubectl("scale", "vs/reviews", "--replicas=2")
    assert (refused.returncode, "NotFound" in refused.stderr) == (1, True), refused.stderr


KEPT, OBSOLETE = route_named("kept"), route_named("obsolete")


def test_prune_deletes_what_is_not_applied_any_more(kubectl: Kubectl) -> None:
    allowed = "--prune-allowlist=networking.istio.io/v1/VirtualService"
    apply = ("apply", "--prune", "-l", "app=reviews", allowed, "-f", "-")
    kubectl.ok(*apply, stdin=f"{KEPT}---{OBSOLETE}")
    assert "obsolete pruned" in kubectl.ok(*apply, stdin=KEPT)
    assert "kept" in kubectl.ok("get", "vs", "-o", "name")


def test_prune_without_a_list_of_kinds_asks_for_those_that_kubectl_knows(
    kubectl: Kubectl, namespace: str
) -> None:
    """Among them are some of which a mesh never has an object: Pods, Deployments, …"""
    label = f"row={namespace}"
    kept, obsolete = (settings_named(name, namespace) for name in ("kept", "obsolete"))
    apply = ("apply", "--prune", "-l", label, "-f", "-")
    kubectl.ok(*apply, stdin=f"{kept}---{obsolete}")
    assert "configmap/obsolete pruned" in kubectl.ok(*apply, stdin=kept)
    assert kubectl.ok("get", "configmaps", "-l", label, "-o", "name") == "configmap/kept\n"


def test_kinds_that_only_a_cluster_has_are_empty(kubectl: Kubectl) -> None:
    listed = kubectl("get", "pods,deployments.apps,jobs,cronjobs,ingresses,pvc,statefulsets")
    assert (listed.returncode, listed.stdout) == (0, ""), listed.stderr
    assert "No resources found" in listed.stderr
    everything = kubectl("get", "all")
    assert (everything.returncode, everything.stdout) == (0, ""), everything.stderr
    missing = kubectl("get", "pod", "a")
    assert (missing.returncode, "(NotFound)" in missing.stderr) == (1, True)


def test_an_apply_set_is_pruned(kubectl: Kubectl, namespace: str) -> None:
    apply = ("apply", "-n", namespace, "--prune", "--applyset=mine", "-f", "-")
    alpha = {"KUBECTL_APPLYSET": "true"}
    done = kubectl(*apply, stdin=f"{KEPT}---{OBSOLETE}", env=alpha)
    assert done.returncode == 0, done.stderr
    done = kubectl(*apply, stdin=KEPT, env=alpha)
    assert (done.returncode, "obsolete pruned" in done.stdout) == (0, True), done.stderr
    assert "obsolete" not in kubectl.ok("get", "vs", "-o", "name")
