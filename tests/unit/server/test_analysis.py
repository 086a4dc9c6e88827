"""What does not fit the mesh is accepted, warned of as it is applied (whoever applies it), and stands as a condition on
the object until what is missing comes."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import yaml

from argosy.resources.kinds import kind_of_group
from argosy.server.process import ControlPlane
from tests.unit.pki import Authority, encoded
from tests.unit.server.whole_server import api, plane

__all__ = ["plane"]

Json = dict[str, Any]
API = {
    "Service": "v1", "Secret": "v1", "ConfigMap": "v1", "Namespace": "v1",
    "Telemetry": "telemetry.istio.io/v1", "AuthorizationPolicy": "security.istio.io/v1",
}  # fmt: skip


def obj(text: str) -> Json:
    """`Kind namespace/name` and, after a bar, the spec in YAML."""
    called, _, spec = text.partition("|")
    kind, name = called.split()
    namespace, _, name = name.rpartition("/")
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    body = yaml.safe_load(spec) or {}
    top = "data" if kind in ("Secret", "ConfigMap") else "spec"
    made = {"apiVersion": API.get(kind, "networking.istio.io/v1"), "kind": kind, "metadata": metadata}
    return made if kind == "Namespace" else made | {top: body}


async def applied(web: httpx.AsyncClient, body: Json) -> str:
    """What is warned of."""
    kind = kind_of_group(body["apiVersion"], body["kind"])
    assert kind is not None
    text = yaml.safe_dump(body)
    answer = await web.patch(
        path(body),
        content=text,
        params={"fieldManager": "test", "force": "true"},
        headers={"content-type": "application/apply-patch+yaml"},
    )
    assert answer.status_code in (200, 201), answer.text
    return "\n".join(answer.headers.get_list("warning"))


def path(body: Json) -> str:
    kind = kind_of_group(body["apiVersion"], body["kind"])
    assert kind is not None
    group = f"/apis/{body['apiVersion']}" if "/" in body["apiVersion"] else f"/api/{body['apiVersion']}"
    space = body["metadata"].get("namespace")
    return f"{group}{f'/namespaces/{space}' if space else ''}/{kind.plural}/{body['metadata']['name']}"


async def becomes(web: httpx.AsyncClient, body: Json, type_: str, reason: str) -> Json:
    async with asyncio.timeout(20):
        while True:
            found = (await web.get(path(body))).json().get("status", {}).get("conditions", [])
            for one in found:
                if (one["type"], one["reason"]) == (type_, reason):
                    return dict(one)
            await asyncio.sleep(0.02)


REVIEWS = "Service default/reviews | {selector: {app: reviews}, ports: [{name: http, port: 80}]}"
WORKLOAD = (
    "WorkloadEntry default/one | {address: 192.0.2.1, labels: {app: reviews, version: v1, istio: edge}}"
)
ROUTE = "VirtualService default/v | {hosts: [a.com], http: [{route: [{destination: {host: reviews%s}}]}]}"
EDGE = "{port: {number: %s, name: x, protocol: %s}, hosts: [a.com]%s}"
REFERENCE, CERTIFICATE = "ReferencedResourceNotFound", "InvalidCertificateRef"


def secret(**data: bytes) -> str:
    return f"Secret default/cert | {encoded(**data)}"


PAIR = Authority().issue("a.example")


@pytest.mark.parametrize(
    ("there", "written", "condition", "says", "comes"),
    [
        ([], ROUTE % "", REFERENCE, ["http[0].route[0].destination.host: reviews", "no service", "create the Service"],
         REVIEWS),
        ([REVIEWS], ROUTE % ", subset: v1", REFERENCE, ["destination.subset: v1", "create one that defines v1"],
         "DestinationRule default/r | {host: reviews, subsets: [{name: v1}]}"),
        ([], "VirtualService default/v | {hosts: [a.com], http: [{delegate: {name: d}}]}", REFERENCE,
         ["spec.http[0].delegate.name: default/d", "no such VirtualService"],
         "VirtualService default/d | {http: [{redirect: {uri: /x}}]}"),
        ([], "VirtualService default/v | {hosts: [a.com], gateways: [edge], http: [{redirect: {uri: /x}}]}", REFERENCE,
         ["spec.gateways[0]: edge", "there is no Gateway default/edge"],
         f"Gateway default/edge | {{servers: [{EDGE % (80, 'HTTP', '')}]}}"),
        ([], "DestinationRule default/r | {host: reviews}", "UnknownDestinationRuleHost",
         ["spec.host: reviews", "(IST0174)"], REVIEWS),
        ([REVIEWS, WORKLOAD],
         "DestinationRule default/r | {host: reviews, workloadSelector: {matchLabels: {app: x}}, "
         "trafficPolicy: {tls: {mode: MUTUAL, credentialName: cert}}}",
         CERTIFICATE, ["spec.trafficPolicy.tls.credentialName: cert", "no such Secret in default", "create it there"],
         secret(tls_crt=PAIR.certificate, tls_key=PAIR.key)),
        ([REVIEWS, WORKLOAD, secret(other=b"x")],
         "DestinationRule default/r | {host: reviews, workloadSelector: {matchLabels: {app: x}}, "
         "trafficPolicy: {tls: {mode: SIMPLE, credentialName: cert}}}",
         CERTIFICATE, ["Secret default/cert", "has no ca.crt"], secret(ca_crt=PAIR.certificate)),
        ([WORKLOAD],
         f"Gateway default/g | {{selector: {{istio: edge}}, servers: "
         f"[{EDGE % (443, 'HTTPS', ', tls: {mode: SIMPLE, credentialName: cert}')}]}}",
         CERTIFICATE, ["servers[0].tls.credentialName: cert", "where the gateway runs"],
         secret(tls_crt=PAIR.certificate, tls_key=PAIR.key)),
        ([], "Sidecar default/s | {egress: [{hosts: ['./reviews.default.svc.cluster.local']}]}", REFERENCE,
         ["spec.egress[0].hosts[0]: ./reviews.default", "no service of namespace default"], REVIEWS),
        ([], "Telemetry default/t | {tracing: [{providers: [{name: zipkin}]}]}", REFERENCE,
         ["spec.tracing[0].providers[0].name: zipkin", "extensionProviders", "prometheus, stackdriver, envoy"],
         "ConfigMap istio-system/istio | {mesh: 'extensionProviders: "
         "[{name: zipkin, zipkin: {service: reviews.default.svc.cluster.local, port: 80}}]'}"),
        ([WORKLOAD], "AuthorizationPolicy default/a | {rules: [{from: [{source: {namespaces: [team]}}]}]}", REFERENCE,
         ["spec.rules[0].from[0].source.namespaces[0]: team", "create it"], "Namespace team |"),
    ],
)  # fmt: skip
async def test_a_reference_to_nothing(
    plane: ControlPlane, there: list[str], written: str, condition: str, says: list[str], comes: str
) -> None:
    async with api(plane) as web:
        for one in there:
            await applied(web, obj(one))
        body = obj(written)
        warned = await applied(web, body)
        found = await becomes(web, body, "ResolvedRefs", condition)
        assert found["status"] == "False"
        for part in says:
            assert part in warned, "as it is applied"
            assert part in found["message"], "and on the object"
        await applied(web, obj(comes))
        assert (await becomes(web, body, "ResolvedRefs", "ResolvedRefs"))["status"] == "True"


TWO_HOSTS = "VirtualService default/%s | {hosts: [a.com], http: [{redirect: {uri: /x}}]}"
TWO_GATES = f"Gateway default/%s | {{selector: {{istio: edge}}, servers: [{EDGE % (80, 'HTTP', '')}]}}"


@pytest.mark.parametrize(
    ("name", "written", "says"),
    [
        ("ConflictingMeshGatewayVirtualServiceHosts", TWO_HOSTS, ["spec.hosts[0]", "sidecars use default/first"]),
        ("ConflictingGateways", TWO_GATES, ["spec.servers[0]", "port 80", "(IST0145)"]),
        ("ConflictingSidecarWorkloadSelectors",
         "Sidecar default/%s | {workloadSelector: {labels: {app: reviews}}, egress: [{hosts: ['./*']}]}",
         ["spec.workloadSelector", "default/one", "select disjoint workloads"]),
        ("MultipleSidecarsWithoutWorkloadSelectors", "Sidecar default/%s | {egress: [{hosts: ['./*']}]}",
         ["keep one"]),
        ("ConflictingTelemetryWorkloadSelectors", "Telemetry default/%s | {selector: {matchLabels: {app: reviews}}}",
         ["spec.selector", "default/one"]),
        ("MultipleTelemetriesWithoutWorkloadSelectors", "Telemetry default/%s | {}", ["keep one"]),
        ("ConflictingServiceEntryProtocol",
         "ServiceEntry default/%s | {hosts: [a.com], resolution: DNS, ports: [{number: 80, name: x, protocol: %s}]}",
         ["a.com", "HTTP, HTTP2", "agree on one"]),
    ],
)  # fmt: skip
async def test_two_that_want_the_same_are_both_named_on_both(
    plane: ControlPlane, name: str, written: str, says: list[str]
) -> None:
    first, second = (
        obj(written % ((each, protocol) if written.count("%s") == 2 else each))
        for each, protocol in (("first", "HTTP"), ("second", "HTTP2"))
    )
    async with api(plane) as web:
        await applied(web, obj(WORKLOAD))
        assert "IST01" not in await applied(web, first)
        warned = await applied(web, second)
        ours = [await becomes(web, each, "Warned", name) for each in (first, second)]
        for text in (warned, *(one["message"] for one in ours)):
            for part in ("default/first", "default/second", *says):
                assert part in text
        assert [one["status"] for one in ours] == ["True", "True"]
        await web.delete(path(second))
        assert (await becomes(web, first, "Warned", "NothingFound"))["status"] == "False"


async def test_what_is_hushed_on_the_object_is_not_told(plane: ControlPlane) -> None:
    body = obj(ROUTE % "")
    body["metadata"]["annotations"] = {"galley.istio.io/analyze-suppress": "IST0101"}
    async with api(plane) as web:
        assert await applied(web, body) == ""
        assert (await becomes(web, body, "ResolvedRefs", "ResolvedRefs"))["status"] == "True"
