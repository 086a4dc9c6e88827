"""Core kinds: what Kubernetes refuses is refused at the same field, and what may not change does not."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.kinds import json_schema, kind_of
from argosy.resources.validation import Verdict, validate

Judge = Callable[..., Verdict]
Json = dict[str, Any]


def errors(verdict: Verdict) -> list[str]:
    return [problem.field for problem in verdict.errors]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def written(kind: str, api_version: str = "v1", **fields: Any) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "namespace": "shop"}} | fields


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("PreferClose", []),
        ("PreferSameZone", []),
        ("PreferSameNode", []),
        ("x", ["spec.trafficDistribution"]),
    ],
)
def test_which_endpoints_a_service_prefers(judge: Judge, written: str, wrong: list[str]) -> None:
    verdict = judge("Service", {"ports": [{"port": 80}], "trafficDistribution": written})
    assert errors(verdict) == wrong


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("Secret", {"type": "kubernetes.io/tls", "data": {"tls.crt": b64("a")}}, "data['tls.key']"),
        ("Secret", {"type": "kubernetes.io/ssh-auth"}, "data['ssh-privatekey']"),
        ("Secret", {"type": "kubernetes.io/basic-auth"}, "data['username']"),
        (
            "Secret",
            {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{"}},
            "data['.dockerconfigjson']",
        ),
        (
            "Secret",
            {"type": "kubernetes.io/service-account-token"},
            "metadata.annotations['kubernetes.io/service-account.name']",
        ),
        ("Secret", {"stringData": {"a": "x" * (1024 * 1024 + 1)}}, "data"),
        ("ConfigMap", {"data": {"a": "x" * (1024 * 1024 + 1)}}, "data"),
        ("ConfigMap", {"binaryData": {"a": "?"}}, "binaryData['a']"),
        ("Endpoints", {"subsets": [{}]}, "subsets[0]"),
        ("Endpoints", {"subsets": [{"addresses": [{"ip": "a"}]}]}, "subsets[0].addresses[0].ip"),
        ("Endpoints", {"subsets": [{"addresses": [{"ip": "0.0.0.0"}]}]}, "subsets[0].addresses[0].ip"),
        ("Endpoints", {"subsets": [{"addresses": [{"ip": "ff02::1"}]}]}, "subsets[0].addresses[0].ip"),
        (
            "Endpoints",
            {"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.1", "hostname": "A.b"}]}]},
            "subsets[0].notReadyAddresses[0].hostname",
        ),
        (
            "Endpoints",
            {
                "subsets": [
                    {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}, {"port": 2, "name": "b"}]}
                ]
            },
            "subsets[0].ports[0].name",
        ),
        (
            "Endpoints",
            {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 0}]}]},
            "subsets[0].ports[0].port",
        ),
        ("EndpointSlice", {"addressType": "IPv5", "endpoints": []}, "addressType"),
        ("EndpointSlice", {"endpoints": []}, "addressType"),
        (
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [{"addresses": []}]},
            "endpoints[0].addresses",
        ),
        (
            "EndpointSlice",
            {"addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}]},
            "endpoints[0].addresses[0]",
        ),
        (
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1", "10.0.0.1"]}]},
            "endpoints[0].addresses[1]",
        ),
        (
            "EndpointSlice",
            {"addressType": "FQDN", "endpoints": [{"addresses": ["A b"]}]},
            "endpoints[0].addresses[0]",
        ),
        (
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [], "ports": [{"port": 1}, {"port": 2}]},
            "ports[1].name",
        ),
        (
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [], "ports": [{"protocol": "ICMP"}]},
            "ports[0].protocol",
        ),
        ("Event", {"involvedObject": {"kind": "Service", "namespace": "other"}}, "involvedObject.namespace"),
        ("Event", {"involvedObject": {"kind": "Namespace", "name": "a"}}, "involvedObject.namespace"),
        ("Event", {}, "involvedObject"),
    ],
)
def test_what_kubernetes_refuses_is_refused_at_its_field(
    judge: Judge, kind: str, body: Json, field: str
) -> None:
    assert field in errors(judge(kind, body))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Secret", {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}, "stringData": {"tls.key": ""}}),
        ("Secret", {"type": "example.com/own"}),
        ("ServiceAccount", {"secrets": [{"name": "a"}], "imagePullSecrets": [{"name": "b"}]}),
        (
            "Endpoints",
            {
                "subsets": [
                    {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 80, "appProtocol": "http"}]}
                ]
            },
        ),
        (
            "EndpointSlice",
            {
                "addressType": "IPv6",
                "endpoints": [{"addresses": ["::1"], "conditions": {"ready": False}, "zone": "a"}],
                "ports": [{"name": "http", "port": 80}, {"name": "any"}],
            },
        ),
        ("EndpointSlice", {"addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]}),
        (
            "Event",
            {"involvedObject": {"kind": "Service", "namespace": "shop", "name": "a"}, "type": "Normal"},
        ),
    ],
)
def test_what_kubernetes_takes_is_valid(judge: Judge, kind: str, body: Json) -> None:
    assert judge(kind, body).errors == ()


def test_events_about_the_cluster_stand_in_default(judge: Judge) -> None:
    body = {"involvedObject": {"kind": "Namespace", "name": "shop"}}
    assert judge("Event", body, namespace="default").errors == ()


def test_an_event_may_leave_its_namespace_to_the_command(judge: Judge) -> None:
    body = {"involvedObject": {"kind": "Service", "namespace": "shop", "name": "a"}}
    assert judge("Event", body, namespace="").errors == ()


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ({"type": "a/b"}, {"type": "a/c"}, ["type"]),
        ({"data": {"a": b64("x")}}, {"data": {"a": b64("y")}}, []),
        ({"immutable": True, "data": {"a": b64("x")}}, {"immutable": True, "stringData": {"a": "x"}}, []),
        (
            {"immutable": True, "data": {"a": b64("x")}},
            {"immutable": True, "stringData": {"a": "y"}},
            ["data"],
        ),
        ({"immutable": True}, {}, ["immutable"]),
        ({}, {"immutable": True}, []),
    ],
)
def test_a_secret_keeps_its_type_and_an_immutable_one_its_data(
    old: Json, new: Json, fields: list[str]
) -> None:
    assert errors(validate(written("Secret", **new), old=written("Secret", **old))) == fields


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ({"data": {"a": "x"}}, {"data": {"a": "y"}}, []),
        ({"immutable": True, "data": {"a": "x"}}, {"immutable": True, "data": {"a": "y"}}, ["data"]),
        ({"immutable": True}, {"immutable": True, "binaryData": {"a": b64("x")}}, ["binaryData"]),
        ({"immutable": True, "data": {"a": "x"}}, {"immutable": False, "data": {"a": "x"}}, ["immutable"]),
    ],
)
def test_an_immutable_config_map_keeps_its_data(old: Json, new: Json, fields: list[str]) -> None:
    assert errors(validate(written("ConfigMap", **new), old=written("ConfigMap", **old))) == fields


def test_a_slice_keeps_the_form_of_its_addresses() -> None:
    def of(address_type: str) -> Json:
        return written("EndpointSlice", "discovery.k8s.io/v1", addressType=address_type, endpoints=[])

    assert errors(validate(of("IPv6"), old=of("IPv4"))) == ["addressType"]
    assert errors(validate(of("IPv4"), old=of("IPv4"))) == []


@pytest.mark.parametrize("name", ["Web", "1.2", "a_b", "a" * 64])
def test_a_service_has_a_lower_case_label_as_name(judge: Judge, name: str) -> None:
    assert errors(judge("Service", {"ports": [{"port": 80}]}, name=name)) == ["metadata.name"]


@pytest.mark.parametrize(
    ("api_version", "kind", "struct", "field", "keys"),
    [
        ("v1", "Service", "ServiceSpec", "ports", ["port", "protocol"]),
        ("v1", "Service", "ServiceStatus", "conditions", ["type"]),
        ("v1", "ServiceAccount", "ServiceAccount", "secrets", ["name"]),
        ("v1", "Namespace", "NamespaceStatus", "conditions", ["type"]),
        ("v1", "ServiceAccount", "ObjectMeta", "ownerReferences", ["uid"]),
    ],
)
def test_lists_have_the_merge_keys_of_kubernetes(
    api_version: str, kind: str, struct: str, field: str, keys: list[str]
) -> None:
    found = kind_of(api_version, kind)
    assert found is not None
    schema = json_schema(found)["$defs"][struct]["properties"][field]
    assert schema["x-kubernetes-list-type"] == "map"
    assert schema["x-kubernetes-list-map-keys"] == keys
