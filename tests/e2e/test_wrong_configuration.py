"""What is wrong with one object is refused at the door, or stands on it as a condition; the rest of the mesh goes on
serving, under load, with retries off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.mesh import Client, Load, Mesh, running_mesh, until
from tests.e2e.test_gateways import ask
from tests.ports import free_port
from tests.unit.pki import Authority, encoded

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

URL = "http://web:9080/"
KINDS = {
    "VirtualService": "networking.istio.io/v1", "DestinationRule": "networking.istio.io/v1",
    "Gateway": "networking.istio.io/v1", "EnvoyFilter": "networking.istio.io/v1alpha3", "Secret": "v1",
}  # fmt: skip
GOOD = "VirtualService web | {hosts: [web], http: [{route: [{destination: {host: web}}], retries: {attempts: 0}}]}"


def written(text: str) -> str:
    """`Kind name | spec` for each line."""
    made = []
    for line in text.strip().splitlines():
        called, _, spec = line.partition("|")
        kind, name = called.split()
        metadata = {"name": name, "namespace": "default"}
        made.append(
            {"apiVersion": KINDS[kind], "kind": kind, "metadata": metadata, "spec": yaml.safe_load(spec)}
        )
    return yaml.safe_dump_all(made)


class Serving:
    """A mesh that serves, at a sidecar and at a gateway."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.http, self.https = free_port(), free_port()
        mesh.echo("web")
        self.client: Client = mesh.client()
        mesh.run("gateway", f"--port=80={self.http}", f"--port=443={self.https}", name="ingress")
        mesh.announced("web")
        mesh.apply(written(GOOD))
        mesh.apply(written(EDGE))
        until(lambda: ask(self.http, False)[0] == 200, "the gateway serves")

    def apply(self, text: str) -> str:
        """The exit code and what was said."""
        return self.mesh.argosy("apply", "-f", "-", stdin=text, check=False)

    def condition(self, kind: str, name: str, type_: str) -> dict[str, Any]:
        body = json.loads(self.mesh.argosy("get", kind, name, "-o", "json"))
        return next((c for c in body.get("status", {}).get("conditions", ()) if c["type"] == type_), {})

    def says(self, kind: str, name: str, type_: str, status: str, *parts: str) -> None:
        def there() -> bool:
            found = self.condition(kind, name, type_)
            return found.get("status") == status and all(part in found["message"] for part in parts)

        until(there, f"{kind} {name}: {type_} is {status} and says {parts}")


EDGE = """
Gateway edge | {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["shop.example"]}]}
VirtualService edge | {hosts: [shop.example], gateways: [edge], http: [{route: [{destination: {host: web}}]}]}
"""  # noqa: E501


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with running_mesh(Path(tmp_path_factory.mktemp("wrong")) / "state") as mesh:
        yield Serving(mesh)


@pytest.fixture(autouse=True)
def nobody_notices(serving: Serving) -> Iterator[None]:
    """Around each case: what was right before is right while it happens, and after."""
    with Load(serving.client.port, URL, workers=2) as load:
        load.at_least(20)
        yield
        load.at_least(50)
    assert load.failures == []
    assert ask(serving.http, False)[0] == 200


ROUTE = "VirtualService wrong | {hosts: [wrong.example], http: [%s]}"
TO_WEB = "route: [{destination: {host: web}}]"


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        (ROUTE % f"{{match: [{{uri: {{regex: '(?=a)b'}}}}], {TO_WEB}}}", "spec.http[0].match[0].uri.regex",
         ["'(?=a)b'", "RE2"]),
        (ROUTE % f"{{match: [{{headers: {{x: {{regex: '(a)\\1'}}}}}}], {TO_WEB}}}", "spec.http[0].match[0].headers",
         [r"'(a)\\1'", "RE2"]),
        (ROUTE % f"{{match: [{{uri: {{regex: '(a{{500}}){{500}}'}}}}], {TO_WEB}}}", "spec.http[0].match[0].uri.regex",
         ["RE2"]),
        (ROUTE % "{route: [{destination: {host: web}, weight: 130}, {destination: {host: web}, weight: -30}]}",
         "spec.http[0].route[1].weight", ["-30"]),
        (ROUTE % "{route: [{destination: {host: web}, weight: 0}, {destination: {host: web}, weight: 0}]}",
         "spec.http[0].route", ["weight"]),
        ("VirtualService wrong | {http: [{delegate: {name: other}}]}", "spec.http[0].delegate",
         ["cannot delegate again"]),
        ("EnvoyFilter wrong | {configPatches: [{applyTo: CLUSTER, patch: {operation: ADD, "
         "value: {connect_timeout: x}}}]}",
         "spec.configPatches[0].patch.value", ["Cluster.connect_timeout"]),
        ("Gateway wrong | {servers: [{port: {number: 443, name: x, protocol: HTTPS}, hosts: ['*']}]}",
         "spec.servers[0].tls", []),
    ],
)  # fmt: skip
def test_what_can_never_be_right_is_refused(serving: Serving, text: str, field: str, says: list[str]) -> None:
    answer = serving.apply(written(text))
    assert answer.startswith("1\n"), answer
    kind, name = text.split()[:2]
    for part in (f"{kind} default/{name}", field, *says):
        assert part in answer
    assert serving.mesh.argosy("get", kind.lower(), name, check=False).startswith("1")


def test_two_that_have_a_host_are_named_on_both_and_the_older_has_it(serving: Serving) -> None:
    other = written("VirtualService late | {hosts: [web], http: [{directResponse: {status: 418}}]}")
    answer = serving.apply(other)
    assert answer.startswith("0\n"), answer
    both = (
        "VirtualService default/late and VirtualService default/web",
        "sidecars use default/web",
        "IST0109",
    )
    for part in both:
        assert part in answer
    serving.says("virtualservice", "late", "Warned", "True", *both)
    serving.says("virtualservice", "web", "Warned", "True", "default/late", "default/web", "IST0109")
    serving.mesh.delete("virtualservice", "late")
    serving.says("virtualservice", "web", "Warned", "False")


def test_a_route_that_can_never_be_reached_is_told(serving: Serving) -> None:
    text = ROUTE % f"{{{TO_WEB}}}, {{{TO_WEB}}}"
    answer = serving.apply(written(text))
    assert answer.startswith("0\n"), answer
    assert "spec.http[1]" in answer
    serving.says("virtualservice", "wrong", "Warned", "True", "spec.http[1]", "IST0130")
    serving.mesh.delete("virtualservice", "wrong")


def test_a_destination_and_a_delegate_that_are_missing_are_told_until_they_come(serving: Serving) -> None:
    text = (
        ROUTE
        % "{match: [{uri: {prefix: /x}}], delegate: {name: child}}, {route: [{destination: {host: none}}]}"
    )
    assert serving.apply(written(text)).startswith("0\n")
    serving.says("virtualservice", "wrong", "ResolvedRefs", "False", "spec.http[0].delegate.name", "default/child",
                 "spec.http[1].route[0].destination.host", "none.default.svc.cluster.local")  # fmt: skip
    assert serving.client.request("http://wrong.example/").status in (503, 500), (
        "it alone is without an answer"
    )
    serving.apply(written("VirtualService child | {http: [{directResponse: {status: 418}}]}"))
    assert serving.apply(written(ROUTE % "{delegate: {name: child}}")).startswith("0\n")
    serving.says("virtualservice", "wrong", "ResolvedRefs", "True")
    until(lambda: serving.client.request("http://wrong.example/").status == 418, "it has its answer")
    serving.mesh.delete("virtualservice", "wrong")
    serving.mesh.delete("virtualservice", "child")


def test_gateways_that_overlap_are_named_on_both_and_the_older_serves(serving: Serving) -> None:
    late = EDGE.strip().splitlines()[0].replace("Gateway edge", "Gateway late")
    assert serving.apply(written(late)).startswith("0\n")
    for name in ("late", "edge"):
        serving.says("gateway.networking.istio.io", name, "Warned", "True", "Gateway default/edge",
                     "Gateway default/late", "IST0145")  # fmt: skip
    serving.mesh.delete("gateway.networking.istio.io", "late")


def test_a_secret_that_cannot_serve_is_named_and_hurts_only_who_needs_it(serving: Serving) -> None:
    root = Authority()
    good, other = root.issue("tls.example"), root.issue("tls.example")
    old = root.issue("tls.example", since=48, until=-24)
    young = root.issue("tls.example", since=-24, until=48)
    tls = "tls: {mode: SIMPLE, credentialName: tls}"
    server = f"{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [tls.example], {tls}}}"
    serving.apply(written(f"Gateway tls | {{selector: {{istio: ingressgateway}}, servers: [{server}]}}"))
    gateway = "gateway.networking.istio.io"
    serving.says(gateway, "tls", "ResolvedRefs", "False", "there is no Secret istio-system/tls; create it")
    for certificate, key, says in (
        (old.certificate, old.key, "a certificate expired on"),
        (young.certificate, young.key, "is not valid before"),
        (good.certificate, other.key, "tls.key is not the key of tls.crt"),
        (
            b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
            good.key,
            "tls.crt is not a certificate",
        ),
        (good.certificate, b"nonsense", "tls.key is not a private key"),
    ):
        metadata = {"name": "tls", "namespace": "istio-system"}
        data = encoded(tls_crt=certificate, tls_key=key)
        serving.apply(
            yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
        )
        serving.says(gateway, "tls", "ResolvedRefs", "False", "istio-system/tls", says)
        assert ask(serving.http, False)[0] == 200
    data = encoded(tls_crt=good.certificate, tls_key=good.key)
    serving.apply(yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}))
    serving.says(gateway, "tls", "ResolvedRefs", "True")
    serving.mesh.delete(gateway, "tls")


def test_an_envoy_filter_that_breaks_a_cluster_is_told_in_envoys_words(serving: Serving) -> None:
    match = "match: {cluster: {service: web.default.svc.cluster.local}}"
    patch = "patch: {operation: MERGE, value: {lb_policy: CLUSTER_PROVIDED}}"
    answer = serving.mesh.argosy(
        "apply", "--wait", "-f", "-", check=False,
        stdin=written(f"EnvoyFilter wrong | {{configPatches: [{{applyTo: CLUSTER, {match}, {patch}}}]}}"),
    )  # fmt: skip
    assert answer.startswith("1\n"), answer
    serving.says(
        "envoyfilter",
        "wrong",
        "Programmed",
        "False",
        "refused Cluster outbound|9080||web.default",
        "cluster provided LB specified",
    )
    serving.mesh.delete("envoyfilter", "wrong")
