"""Rows of the acceptance table: two client libraries for Python that others wrote, `kubernetes` and `lightkube`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightkube
import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

from tests.servers.acceptance.objects import Json
from tests.servers.acceptance.targets import Target

GROUP, VERSION, PLURAL = "networking.istio.io", "v1", "virtualservices"
SPEC: Json = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}
MANAGER = {"field_manager": "tests"}


def route(name: str = "reviews", **spec: Any) -> Json:
    head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "VirtualService", "metadata": {"name": name}}
    return head | {"spec": SPEC | spec}


def name_of(obj: Any) -> str:
    assert obj.metadata is not None
    return str(obj.metadata.name)


@pytest.fixture
def api(target: Target, namespace: str) -> Iterator[client.ApiClient]:
    path = str(target.kubeconfig("admin", namespace))
    with config.new_client_from_config(config_file=path) as opened:
        yield opened


@pytest.fixture
def light(target: Target, namespace: str) -> lightkube.Client:
    kubeconfig = lightkube.KubeConfig.from_file(str(target.kubeconfig("admin", namespace)))
    return lightkube.Client(config=kubeconfig, field_manager="tests", trust_env=False)


def test_kubernetes_custom_objects_are_written_read_and_deleted(
    api: client.ApiClient, namespace: str
) -> None:
    custom = client.CustomObjectsApi(api)
    of = (GROUP, VERSION, namespace, PLURAL)
    created = custom.create_namespaced_custom_object(*of, route())

    def replaced() -> Json:
        """Until nobody (who writes its status, say) has been faster."""
        while True:
            read: Json = custom.get_namespaced_custom_object(*of, "reviews")
            read["spec"]["hosts"] = ["other"]
            try:
                done: Json = custom.replace_namespaced_custom_object(*of, "reviews", read)
            except ApiException as error:
                if error.status != 409:
                    raise
            else:
                return done

    assert replaced()["metadata"]["generation"] == 2
    with pytest.raises(ApiException) as overtaken:
        custom.replace_namespaced_custom_object(*of, "reviews", created)
    assert overtaken.value.status == 409
    patched = custom.patch_namespaced_custom_object(*of, "reviews", {"metadata": {"labels": {"a": "b"}}})
    assert patched["metadata"]["labels"] == {"a": "b"}
    listed = custom.list_namespaced_custom_object(*of, label_selector="a=b")
    assert [each["spec"]["hosts"] for each in listed["items"]] == [["other"]]
    custom.delete_namespaced_custom_object(*of, "reviews")
    with pytest.raises(ApiException) as gone:
        custom.get_namespaced_custom_object(*of, "reviews")
    assert gone.value.status == 404


def test_kubernetes_typed_core_kinds_are_written_and_read(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="key"), string_data={"a": "text"})
    core.create_namespaced_secret(namespace, secret)
    assert core.read_namespaced_secret("key", namespace).data == {"a": "dGV4dA=="}
    port = client.V1ServicePort(port=80, target_port=8080)
    spec = client.V1ServiceSpec(ports=[port], selector={"app": "web"})
    service = client.V1Service(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    core.create_namespaced_service(namespace, service)
    body = {"spec": {"ports": [{"port": 443, "name": "https"}, {"port": 80, "name": "http"}]}}
    patched = core.patch_namespaced_service("web", namespace, body)
    assert {each.port for each in patched.spec.ports} == {80, 443}
    assert namespace in [each.metadata.name for each in core.list_namespace().items]
    core.delete_collection_namespaced_secret(namespace)
    assert core.list_namespaced_secret(namespace).items == []


def test_kubernetes_dynamic_client_applies_and_watches(api: client.ApiClient, namespace: str) -> None:
    dynamic = DynamicClient(api)
    routes = dynamic.resources.get(api_version=f"{GROUP}/{VERSION}", kind="VirtualService")
    routes.server_side_apply(body=route(), namespace=namespace, **MANAGER)
    changed = route(hosts=["other"])
    with pytest.raises(ApiException) as conflict:
        routes.server_side_apply(body=changed, namespace=namespace, field_manager="ann")
    assert conflict.value.status == 409
    forced = {"field_manager": "ann", "force_conflicts": True}
    applied = routes.server_side_apply(body=changed, namespace=namespace, **forced)
    assert applied.spec.hosts == ["other"]
    seen = []
    for event in routes.watch(namespace=namespace, timeout=20):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 1:
            routes.create(body=route("more"), namespace=namespace)
        elif seen[-1] == ("ADDED", "more"):
            routes.delete(name="more", namespace=namespace)
        elif event["type"] == "DELETED":
            break
    assert [seen[0], seen[-1]] == [("ADDED", "reviews"), ("DELETED", "more")]


def test_kubernetes_watch_goes_on_from_a_revision(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    settings = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"n": "0"})
    core.create_namespaced_config_map(namespace, settings)
    after = core.list_namespaced_config_map(namespace).metadata.resource_version
    for number in ("1", "2", "3"):
        core.patch_namespaced_config_map("a", namespace, {"data": {"n": number}})
    seen: list[str] = []
    watching = watch.Watch()
    listing = core.list_namespaced_config_map
    for event in watching.stream(listing, namespace, resource_version=after, timeout_seconds=20):
        seen.append(event["object"].data["n"])
        if len(seen) == 3:
            watching.stop()
    assert seen == ["1", "2", "3"]


def test_lightkube_writes_applies_patches_watches_and_deletes(
    light: lightkube.Client, namespace: str
) -> None:
    Route = create_namespaced_resource(GROUP, VERSION, "VirtualService", PLURAL)
    light.create(Route(metadata=ObjectMeta(name="a", namespace=namespace), spec=SPEC))
    applied = Route(
        apiVersion=f"{GROUP}/{VERSION}",
        kind="VirtualService",
        metadata=ObjectMeta(name="b", namespace=namespace),
        spec=SPEC,
    )
    light.apply(applied)
    merged = light.patch(Route, "b", {"spec": {"hosts": ["other"]}}, patch_type=PatchType.MERGE)
    assert merged["spec"]["hosts"] == ["other"]
    assert sorted(name_of(each) for each in light.list(Route)) == ["a", "b"]
    conflict = Route(
        apiVersion=f"{GROUP}/{VERSION}",
        kind="VirtualService",
        metadata=ObjectMeta(name="b", namespace=namespace),
        spec=SPEC | {"hosts": ["third"]},
    )
    with pytest.raises(ApiError) as refused:
        light.apply(conflict, field_manager="ann")
    assert refused.value.status.code == 409
    assert light.apply(conflict, field_manager="ann", force=True)["spec"]["hosts"] == ["third"]
    seen = []
    for event, obj in light.watch(Route, server_timeout=20):
        seen.append((event, name_of(obj)))
        if seen[-1] == ("ADDED", "b"):
            light.delete(Route, "b")
        elif event == "DELETED":
            break
    assert {("ADDED", "a"), ("ADDED", "b")} <= set(seen)
    assert seen[-1] == ("DELETED", "b")


def test_lightkube_reads_typed_kinds_page_by_page(light: lightkube.Client, namespace: str) -> None:
    for number in range(5):
        light.create(ConfigMap(metadata=ObjectMeta(name=f"c{number}", namespace=namespace), data={"n": "1"}))
    assert [name_of(each) for each in light.list(ConfigMap, chunk_size=2)] == [f"c{n}" for n in range(5)]
    light.deletecollection(ConfigMap)
    assert list(light.list(ConfigMap)) == []
