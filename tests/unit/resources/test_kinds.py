"""The list of kinds, decoding, schemas."""

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from argosy.resources import gateway_api, kinds, networking
from argosy.resources.kinds import KINDS, SERVED, Kind, by_resource, decode, json_schema, kind_of
from argosy.resources.security import MutualTlsMode, PeerAuthentication


def obj(api_version: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "namespace": "b"}} | fields


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_each_kind_is_found_by_every_version_and_by_its_resource(kind: Kind) -> None:
    assert kind.api_version == kind.api_versions[0]
    for api_version in kind.api_versions:
        assert kind_of(api_version, kind.kind) is kind
    assert by_resource(kind.resource) is kind
    assert kind.struct.__name__ == kind.kind


def test_resources_are_named_as_in_the_store() -> None:
    assert [kind.resource for kind in KINDS][:2] == ["/namespaces", "/services"]
    virtual_service = kind_of("networking.istio.io/v1beta1", "VirtualService")
    assert virtual_service is not None
    assert virtual_service.resource == "networking.istio.io/virtualservices"
    assert virtual_service.api_version == "networking.istio.io/v1"


def test_no_two_kinds_share_a_name_that_people_type() -> None:
    typed = [name for kind in SERVED for name in {kind.plural, kind.singular, *kind.short_names}]
    assert {name for name in typed if typed.count(name) > 1} == {"gateway", "gateways"}


def test_two_kinds_named_gateway_are_told_apart_by_their_groups() -> None:
    istio, kubernetes = (kind for kind in KINDS if kind.kind == "Gateway")
    assert (istio.unique_name, istio.struct) == ("Gateway", networking.Gateway)
    assert (kubernetes.unique_name, kubernetes.struct) == (
        "Gateway.gateway.networking.k8s.io",
        gateway_api.Gateway,
    )
    assert kind_of("networking.istio.io/v1", "Gateway") is istio
    assert kind_of("gateway.networking.k8s.io/v1", "Gateway") is kubernetes
    assert len({kind.unique_name for kind in KINDS}) == len(KINDS)


_ALL_THREE = ("v1", "v1beta1", "v1alpha3")


@pytest.mark.parametrize(
    ("group", "kind", "plural", "short_names", "versions"),
    [
        ("networking", "VirtualService", "virtualservices", ("vs",), _ALL_THREE),
        ("networking", "DestinationRule", "destinationrules", ("dr",), _ALL_THREE),
        ("networking", "Gateway", "gateways", ("gw",), _ALL_THREE),
        ("networking", "ServiceEntry", "serviceentries", ("se",), _ALL_THREE),
        ("networking", "WorkloadEntry", "workloadentries", ("we",), _ALL_THREE),
        ("networking", "WorkloadGroup", "workloadgroups", ("wg",), _ALL_THREE),
        ("networking", "Sidecar", "sidecars", (), _ALL_THREE),
        ("networking", "EnvoyFilter", "envoyfilters", ("ef",), ("v1alpha3",)),
        ("networking", "ProxyConfig", "proxyconfigs", (), ("v1beta1",)),
        ("security", "PeerAuthentication", "peerauthentications", ("pa",), ("v1", "v1beta1")),
        ("security", "AuthorizationPolicy", "authorizationpolicies", ("ap",), ("v1", "v1beta1")),
        ("security", "RequestAuthentication", "requestauthentications", ("ra",), ("v1", "v1beta1")),
        ("telemetry", "Telemetry", "telemetries", ("telemetry",), ("v1", "v1alpha1")),
        ("extensions", "WasmPlugin", "wasmplugins", (), ("v1alpha1",)),
        ("extensions", "TrafficExtension", "trafficextensions", (), ("v1alpha1",)),
    ],
)
def test_kinds_of_istio_are_called_as_there(
    group: str, kind: str, plural: str, short_names: tuple[str, ...], versions: tuple[str, ...]
) -> None:
    found = by_resource(f"{group}.istio.io/{plural}")
    assert found is not None
    assert (found.kind, found.singular) == (kind, kind.lower())
    assert (found.short_names, found.versions) == (short_names, versions)
    assert found.categories == ("istio-io", f"{group}-istio-io")


def test_every_kind_of_istio_is_in_that_table() -> None:
    served = [kind for kind in KINDS if kind.group.endswith(".istio.io")]
    assert len(served) == 15


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("networking.istio.io/v1", "EnvoyFilter"),
        ("networking.istio.io/v1alpha3", "ProxyConfig"),
        ("gateway.networking.k8s.io/v1alpha1", "Gateway"),
        ("networking.istio.io/v9", "VirtualService"),
        ("v1", "Pod"),
        ("", ""),
    ],
)
def test_what_is_not_served_has_no_kind(api_version: str, kind: str) -> None:
    assert kind_of(api_version, kind) is None


def test_decode_reads_dicts_and_bytes_of_any_version_alike() -> None:
    body = obj(
        "networking.istio.io/v1alpha3", "VirtualService", spec={"hosts": ["a"], "http": [{"timeout": "3s"}]}
    )
    decoded = decode(body)
    assert isinstance(decoded, networking.VirtualService)
    assert decoded.spec.http[0].timeout == "3s"
    assert decode(json.dumps(body).encode()) == decoded


def test_decode_skips_fields_it_does_not_know() -> None:
    body = obj("networking.istio.io/v1", "Gateway", spec={"servers": [{"hosts": ["*"], "new": 1}]}, other={})
    decoded = decode(json.dumps(body).encode())
    assert isinstance(decoded, networking.Gateway)
    assert decoded.spec.servers[0].hosts == ("*",)


@pytest.mark.parametrize("form", [dict, bytes])
def test_decode_takes_null_as_not_set_and_integral_floats_as_integers(form: type) -> None:
    body = obj(
        "networking.istio.io/v1",
        "VirtualService",
        spec={
            "hosts": ["a"],
            "tcp": None,
            "http": [{"route": [{"destination": {"host": "h"}, "weight": 80.0}]}],
        },
    )
    body["metadata"]["creationTimestamp"] = None
    decoded = decode(body if form is dict else json.dumps(body).encode())
    assert isinstance(decoded, networking.VirtualService)
    assert decoded.spec.tcp == ()
    assert decoded.spec.http[0].route[0].weight == 80


def test_decode_reads_ports_as_numbers() -> None:
    body = obj(
        "security.istio.io/v1", "PeerAuthentication", spec={"portLevelMtls": {"8080": {"mode": "STRICT"}}}
    )
    for form in (body, json.dumps(body).encode()):
        decoded = decode(form)
        assert isinstance(decoded, PeerAuthentication)
        assert decoded.spec.port_level_mtls is not None
        assert decoded.spec.port_level_mtls[8080].mode is MutualTlsMode.STRICT


def test_decoded_objects_write_the_names_of_the_wire() -> None:
    spec = {
        "host": "reviews",
        "trafficPolicy": {
            "connectionPool": {"http": {"http1MaxPendingRequests": 1, "h2UpgradePolicy": "UPGRADE"}},
            "outlierDetection": {"consecutive5xxErrors": 5},
            "loadBalancer": {
                "consistentHash": {"useSourceIp": True},
                "localityLbSetting": {"failover": [{"from": "a"}]},
            },
            "tls": {"mode": "SIMPLE", "caCrl": "c"},
        },
    }
    body = obj("networking.istio.io/v1", "DestinationRule", spec=spec)
    assert json.loads(msgspec.json.encode(decode(body))) == body


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"apiVersion": "v1", "kind": "Pod"},
        {"apiVersion": 1, "kind": None},
        obj("networking.istio.io/v1", "VirtualService", spec={"hosts": 5}),
        obj("networking.istio.io/v1", "DestinationRule"),
    ],
)
def test_decode_says_value_error_for_what_it_cannot_read(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(body)
    with pytest.raises(ValueError, match=r"."):
        decode(json.dumps(body).encode())
    with pytest.raises(ValueError, match=r"."):
        decode(b"[1")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_schemas_are_closed_and_know_no_null(kind: Kind) -> None:
    schema = json_schema(kind)
    assert {"type": "null"} not in [o for d in schema["$defs"].values() for o in _options(d)]
    for name, definition in schema["$defs"].items():
        if "properties" in definition:
            assert definition["additionalProperties"] is False, name
    assert schema["$defs"][kind.kind]["properties"]["kind"] == {"enum": [kind.kind]}


def _options(definition: dict[str, Any]) -> list[Any]:
    return [
        option for field in definition.get("properties", {}).values() for option in field.get("anyOf", ())
    ]


def test_importing_the_room_compiles_no_schema_and_loads_no_semantics() -> None:
    program = (
        "import sys; import argosy.resources.validation, argosy.resources.report;"
        "from argosy.resources import schema, kinds;"
        "print(schema._validator.cache_info().currsize, kinds.json_schema.cache_info().currsize,"
        "'argosy.resources.semantics.virtual_service' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.split() == ["0", "0", "False"]


def test_settled_keeps_what_is_not_null() -> None:
    assert kinds.settled({"a": None, "b": [None, 1.0, 1.5, True], "c": {"d": ""}}) == {
        "b": [None, 1, 1.5, True],
        "c": {"d": ""},
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_columns_of_a_kind_are_named_once_and_lead_into_the_object(kind: Kind) -> None:
    names = [column.name for column in kind.columns]
    assert len(names) == len(set(names))
    assert "Age" in names
    assert all(column.json_path.startswith(".") for column in kind.columns)


def test_the_kinds_of_kubernetes_itself_are_those_of_its_own_groups() -> None:
    for kind in KINDS:
        own = kind.group == "" or (
            kind.group.endswith(".k8s.io") and kind.group != "gateway.networking.k8s.io"
        )
        assert kind.builtin == own, kind.kind
