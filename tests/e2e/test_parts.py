"""Routes in parts, in a mesh: who starts among many hosts has them, whoever was there before goes on as it was."""

from __future__ import annotations

import json
from functools import partial

import httpx
import pytest

from argosy.translate import parts
from tests.e2e.mesh import IN_PARTS, Client, Load, Mesh, until
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

URL = "http://reviews:9080/"


def services(count: int) -> str:
    return "---".join(
        f"""
apiVersion: v1
kind: Service
metadata: {{name: svc-{number}, namespace: default}}
spec: {{selector: {{app: svc-{number}}}, ports: [{{name: http, port: 9080}}]}}
"""
        for number in range(count)
    )


def virtual_service(text: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: said, namespace: default}}
spec: {{hosts: [said.example], http: [{{directResponse: {{status: 200, body: {{string: "{text}"}}}}}}]}}
"""


WILD = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wild, namespace: default}
spec: {hosts: ["*.wild.example"], http: [{directResponse: {status: 200, body: {string: "wild"}}}]}
"""


def layout(mesh: Mesh, name: str) -> list[str]:
    """The RouteConfigurations that come in parts, of which its Envoy really runs some."""
    held = json.loads(mesh.argosy("proxy", "config", name, "-o", "json"))
    assert len(held["scopes"]) in (0, parts.PARTS)
    asked = {one["route_configuration_name"] for one in held["scopes"]}
    assert asked <= {one["name"] for one in held["routes"]}
    return sorted({parts.whole(one) for one in asked})


def answered(client: Client) -> bool:
    return client.request(URL).status == 200


def said(client: Client, host: str) -> bytes:
    return client.request(f"http://{host}/").body


def test_who_starts_among_many_hosts_has_its_routes_in_parts(mesh: Mesh) -> None:
    old = mesh.client("old")
    mesh.echo("reviews")
    mesh.announced("reviews")
    mesh.argosy("apply", "-f", "-", stdin=services(parts.MANY))
    new = mesh.client("new")
    asked = mesh.client("asked", "--proxy-config", IN_PARTS[1].replace("parted", "whole"))
    assert layout(mesh, "new") == ["http_proxy"]
    assert layout(mesh, "old") == layout(mesh, "asked") == []
    for client in (old, new, asked):
        until(partial(answered, client), "traffic flows")
    mesh.apply(WILD)
    for text in ("one", "two"):
        mesh.apply(virtual_service(text))
        for client in (old, new):
            assert said(client, "said.example") == text.encode(), "an acknowledged change is in force"
            assert said(client, "a.wild.example") == b"wild"
    answer = new.request(URL)
    assert parts.HEADER not in answer.json()["headers"], "the mark of the part is not sent on"
    with Load(new.port, URL, workers=2) as load:
        load.at_least(50)
        mesh.stop_server()
        mesh.start_server()
        until(lambda: all(one["connected"] for one in mesh.ps()), "the agents are connected again", 40)
        load.at_least(50)
    assert load.failures == []
    assert layout(mesh, "new") == ["http_proxy"]
    assert layout(mesh, "old") == [], "as it was started"


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
"""


def bound(host: str, text: str, name: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: ["{host}"]
  gateways: [edge]
  http: [{{directResponse: {{status: 200, body: {{string: "{text}"}}}}}}]
"""


def echoed(port: int, host: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}/", headers={"host": host}, trust_env=False, timeout=10)


def serves(port: int, host: str, text: str = "") -> bool:
    try:
        answer = echoed(port, host)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and text in answer.text


def test_a_gateway_that_starts_with_many_hosts_bound_has_its_routes_in_parts(mesh: Mesh) -> None:
    first, second = free_port(), free_port()
    mesh.echo("web")
    mesh.announced("web")
    mesh.apply(GATEWAY)
    to = bound("web.example", "", "web").partition("  http:")[0]
    mesh.apply(f"{to}  http: [{{route: [{{destination: {{host: web}}}}]}}]")
    mesh.run("gateway", "--name=old", f"--port=80={first}", name="old")
    until(lambda: serves(first, "web.example"), "the gateway serves")
    many = "---".join(bound(f"h{one}.example", "many", f"h{one}") for one in range(parts.MANY))
    mesh.argosy("apply", "-f", "-", stdin=many)
    mesh.run("gateway", "--name=new", f"--port=80={second}", name="new")
    until(lambda: serves(second, "web.example"), "the new gateway serves")
    assert (layout(mesh, "old"), layout(mesh, "new")) == ([], ["http.80"])
    mesh.apply(bound("*.wild.example", "wild", "wild"))
    for text in ("one", "two"):
        mesh.apply(bound("said.example", text, "said"))
        for port in (first, second):
            assert serves(port, "said.example", text), "an acknowledged change is in force"
            assert serves(port, f"said.example:{port}", text), "whatever port is written"
            assert serves(port, "SAID.example", text)
            assert serves(port, "a.wild.example", "wild")
            assert serves(port, "h7.example", "many")
            assert echoed(port, "nobody.example").status_code == 404
    assert parts.HEADER not in echoed(second, "web.example").json()["headers"], "the mark is not sent on"
    mesh.argosy("delete", "virtualservice", "said")
    until(lambda: echoed(second, "said.example").status_code == 404, "it is gone")
