"""Rows of the acceptance table: what kubectl finds out and shows."""

from __future__ import annotations

import json
import subprocess
import threading

import pytest

from tests.servers.acceptance.objects import ROUTE, SECRET, Json, route, route_named
from tests.servers.acceptance.targets import Target
from tests.servers.kubectl import VERSIONS, Kubectl, tools


@pytest.mark.parametrize("binary", VERSIONS)
def test_the_binaries_are_of_the_version_they_are_asked_for(binary: str) -> None:
    found = tools(binary)
    said = subprocess.run([found.kubectl, "version", "--client"], capture_output=True, text=True, check=True)
    assert f"v{binary}." in said.stdout
    said = subprocess.run([found.helm, "version", "--short"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("v")


def test_version_tells_that_of_the_server(kubectl: Kubectl) -> None:
    said: Json = json.loads(kubectl.ok("version", "-o", "json"))
    assert said["serverVersion"]["gitVersion"].startswith("v1.")
    assert said["serverVersion"]["major"] == "1"


def test_resources_are_discovered_by_every_name(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    lines = [line.split() for line in kubectl.ok("api-resources", "--no-headers").splitlines()]
    assert ["virtualservices", "vs", "networking.istio.io/v1", "true", "VirtualService"] in lines
    assert "get,list" in kubectl.ok("api-resources", "-o", "wide", "--api-group=apiextensions.k8s.io")
    versions = kubectl.ok("api-versions").split()
    assert {"v1", "networking.istio.io/v1", "networking.istio.io/v1alpha3"} <= set(versions)
    for name in ("vs", "virtualservice", "virtualservices.v1alpha3.networking.istio.io"):
        assert "reviews" in kubectl.ok("get", name)
    assert "virtualservice.networking.istio.io/reviews" in kubectl.ok("get", "istio-io", "-o", "name").split()


def test_old_discovery_is_answered(kubectl: Kubectl) -> None:
    """What kubectl asked before there was aggregated discovery."""
    groups = json.loads(kubectl.ok("get", "--raw", "/apis"))["groups"]
    assert "networking.istio.io" in [group["name"] for group in groups]
    assert json.loads(kubectl.ok("get", "--raw", "/apis/networking.istio.io"))["preferredVersion"]
    resources = json.loads(kubectl.ok("get", "--raw", "/apis/networking.istio.io/v1"))["resources"]
    assert {"virtualservices", "virtualservices/status"} <= {each["name"] for each in resources}


def test_get_prints_a_table_in_the_columns_of_the_kind(kubectl: Kubectl, namespace: str) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    kubectl.ok("create", "-f", "-", stdin=SECRET)
    header, *rows = kubectl.ok("get", "vs", "-A").splitlines()
    assert header.split()[:2] == ["NAMESPACE", "NAME"]
    assert header.split()[-1] == "AGE"
    assert [namespace, "reviews"] in [row.split()[:2] for row in rows]
    header, row = kubectl.ok("get", "secret").splitlines()
    assert header.split() == ["NAME", "TYPE", "DATA", "AGE"]
    assert row.split()[:3] == ["key", "Opaque", "2"]
    header, row = kubectl.ok("get", "vs", "--show-labels").splitlines()
    assert (header.split()[-1], row.split()[-1]) == ("LABELS", "app=reviews")
    assert kubectl.ok("get", "vs", "-L", "app", "--no-headers").split()[-1] == "reviews"
    named = kubectl.ok("get", "vs", "-o", "custom-columns=HOSTS:.spec.hosts[0]")
    assert named.split() == ["HOSTS", "reviews"]


def test_wide_tables_show_the_columns_of_lower_priority(kubectl: Kubectl) -> None:
    kubectl.ok("create", "service", "clusterip", "web", "--tcp=80:8080")
    assert "SELECTOR" not in kubectl.ok("get", "service")
    header, row = kubectl.ok("get", "service", "-o", "wide").splitlines()
    assert (header.split()[-1], row.split()[-1]) == ("SELECTOR", "app=web")


def test_get_prints_yaml_json_paths_and_templates(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    assert "kind: VirtualService\n" in kubectl.ok("get", "vs", "reviews", "-o", "yaml")
    assert json.loads(kubectl.ok("get", "vs", "-o", "json"))["items"][0]["spec"]["hosts"] == ["reviews"]
    assert kubectl.ok("get", "vs", "-o", "jsonpath={.items[*].spec.hosts[0]}") == "reviews"
    template = "go-template={{range .items}}{{.metadata.name}} {{index .spec.hosts 0}}{{end}}"
    assert kubectl.ok("get", "vs", "-o", template) == "reviews reviews"


def test_get_selects_by_labels_and_fields(kubectl: Kubectl, namespace: str) -> None:
    for name in ("a", "b", "c"):
        kubectl.ok("create", "-f", "-", stdin=route_named(name).replace("app: reviews", f"app: {name}"))

    def named(*selection: str) -> list[str]:
        lines = kubectl.ok("get", "vs", "-o", "name", *selection).split()
        return [line.rpartition("/")[2] for line in lines]

    assert named("-l", "app in (a,b)") == ["a", "b"]
    assert named("-l", "app!=a,app") == ["b", "c"]
    assert named("--field-selector", "metadata.name=b") == ["b"]
    assert named("-A", "--field-selector", f"metadata.namespace={namespace}", "-l", "app=c") == ["c"]
    refused = kubectl("get", "vs", "--field-selector", "spec.colour=blue")
    assert (refused.returncode, "field label not supported" in refused.stderr) == (1, True), refused.stderr


def test_long_lists_come_in_pages(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin="---".join(route_named(f"v{i:02}") for i in range(12)))
    assert len(kubectl.ok("get", "vs", "--chunk-size=5", "-o", "name").split()) == 12
    assert len(kubectl.ok("get", "vs", "--chunk-size=5").splitlines()) == 13


def test_get_watches_in_a_table(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    done = kubectl("get", "vs", "--watch", "--request-timeout=2s")
    header, row = done.stdout.splitlines()
    assert (header.split()[0], row.split()[0]) == ("NAME", "reviews")


def test_a_watch_shows_what_comes_changes_and_goes(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    command = [str(kubectl.binary), "get", "vs", "--watch", "--output-watch-events", "--no-headers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=kubectl.environment) as watching:
        assert watching.stdout is not None
        late = threading.Timer(60, watching.kill)
        late.start()
        try:
            first = watching.stdout.readline().split()[:2]  # only now does it surely watch
            kubectl.ok("create", "-f", "-", stdin=route_named("other"))
            kubectl.ok("label", "vs", "other", "tier=front")
            kubectl.ok("delete", "vs", "other")
            shown = []
            for line in watching.stdout:
                event, name = line.split()[:2]
                shown += [event] if name == "other" else []
                if event == "DELETED":
                    break
        finally:
            late.cancel()
            watching.kill()
    assert first == ["ADDED", "reviews"]
    # Whoever writes its status modifies it, too.
    assert (shown[0], set(shown[1:-1]), shown[-1]) == ("ADDED", {"MODIFIED"}, "DELETED")


def test_explain_reads_the_documents(kubectl: Kubectl) -> None:
    assert "GROUP:      apiextensions.k8s.io" in kubectl.ok("explain", "crd.spec.versions")
    retries = kubectl.ok("explain", "virtualservice.spec.http.retries")
    assert "FIELD: retries <" in retries
    assert "perTryTimeout\t<string>\n    How long one try may take" in retries
    assert "<no description>" not in retries
    assert "prefix\t<string>" in kubectl.ok("explain", "vs.spec.http.match", "--recursive")
    old = kubectl.ok("explain", "vs.spec", "--api-version=networking.istio.io/v1beta1")
    assert "VERSION:    v1beta1" in old
    assert "does not exist" in kubectl("explain", "vs.spec.nothing").stderr


def test_explain_names_the_type_of_every_field(kubectl: Kubectl) -> None:
    versions = kubectl.ok("explain", "crd.spec.versions")
    assert "FIELD: versions <[]Version>" in versions
    assert "Whether objects are stored in it: of one version alone." in versions
    assert "FIELD: retries <HTTPRetry>" in kubectl.ok("explain", "virtualservice.spec.http.retries")
    assert "<map[string]StringMatch>" in kubectl.ok("explain", "vs.spec.http.match", "--recursive")


def test_describe_shows_the_events_of_an_object(kubectl: Kubectl, namespace: str) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "reviews.1", "namespace": namespace},
        "type": "Warning", "reason": "Refused", "message": "a proxy refused it", "count": 1,
        "involvedObject": {"kind": "VirtualService", "namespace": namespace, "name": "reviews",
                           "uid": route(kubectl)["metadata"]["uid"],
                           "apiVersion": "networking.istio.io/v1"},
    }  # fmt: skip
    kubectl.ok("create", "-f", "-", stdin=json.dumps(event))
    told = kubectl.ok("describe", "vs", "reviews")
    assert "a proxy refused it" in told
    assert "Refused" in kubectl.ok("events", "--for", "virtualservice/reviews", "--types=Warning")
    header, row = kubectl.ok("get", "events").splitlines()
    assert header.split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert "Warning" in row
    assert "virtualservice/reviews" in row
    named = ("get", "events", "-o", "name", "--field-selector")
    assert kubectl.ok(*named, "involvedObject.name=reviews,reason=Refused") == "event/reviews.1\n"
    assert kubectl.ok(*named, "involvedObject.name=other") == ""


@pytest.mark.parametrize("what", ["namespace", "secret", "configmap", "serviceaccount", "service"])
def test_describe_knows_the_core_kinds(kubectl: Kubectl, namespace: str, what: str) -> None:
    create = {
        "namespace": ("namespace", f"{namespace}-x"),
        "secret": ("secret", "generic", "x", "--from-literal=a=text"),
        "service": ("service", "clusterip", "x", "--tcp=80:8080"),
    }.get(what, (what, "x"))
    kubectl.ok("create", *create)
    told = kubectl.ok("describe", what, f"{namespace}-x" if what == "namespace" else "x")
    assert told.startswith("Name:")
    assert "text" not in told, "a secret's value is not shown"


def test_the_kinds_are_established(kubectl: Kubectl) -> None:
    names = kubectl.ok("get", "crd", "-o", "name").split()
    assert "customresourcedefinition.apiextensions.k8s.io/virtualservices.networking.istio.io" in names
    waited = kubectl.ok("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
    assert waited.count("condition met") == len(names)


def test_the_kinds_cannot_be_changed(kubectl: Kubectl) -> None:
    # As a dry run: the servers that would do it must keep them for the other rows.
    refused = kubectl("delete", "crd", "virtualservices.networking.istio.io", "--dry-run=server")
    assert (refused.returncode, "read-only" in refused.stderr) == (1, True)


def test_an_object_waits_to_be_programmed(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", stdin=ROUTE)
    waited = kubectl.ok("wait", "--for=condition=Programmed", "vs/reviews", "--timeout=20s")
    assert "condition met" in waited
    kubectl.ok("wait", "--for=jsonpath={.spec.hosts[0]}=reviews", "vs/reviews", "--timeout=20s")


def test_what_is_not_there_is_said_so(kubectl: Kubectl, target: Target) -> None:
    gone = kubectl("get", "vs", "nothing")
    assert (
        'Error from server (NotFound): virtualservices.networking.istio.io "nothing" not found' in gone.stderr
    )
    assert "the server doesn't have a resource type" in kubectl("get", "unheard-of").stderr
    assert "No resources found" in kubectl("get", "vs").stderr
