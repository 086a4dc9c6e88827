"""The edges of a running mesh that gateways make: HTTP/3 from outside, and the way between two networks."""

from __future__ import annotations

import pytest
import yaml

from tests.e2e import http3
from tests.e2e.mesh import Mesh, until
from tests.ports import free_port
from tests.unit.pki import Authority, encoded

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ROOT = Authority()
SHOP = ROOT.issue("shop.example")
HTTPS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: default, annotations: {gateway.argosy.dev/http3: "true"}}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example]
    tls: {mode: SIMPLE, credentialName: shop}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec: {hosts: [shop.example], gateways: [shop], http: [{route: [{destination: {host: web}}]}]}
"""
EAST_WEST = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: east-west, namespace: istio-system}
spec:
  selector: {istio: eastwestgateway}
  servers:
  - {port: {number: 15443, name: tls, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}
"""
NETWORK = "--label=topology.istio.io/network={}"


def settings(port: int) -> str:
    networks = f"networks: {{east: {{gateways: [{{address: 127.0.0.1, port: {port}}}]}}}}"
    metadata = {"name": "istio", "namespace": "istio-system"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"meshNetworks": networks}}
    return yaml.safe_dump(body)


def secret() -> str:
    metadata = {"name": "shop", "namespace": "istio-system"}
    data = encoded(tls_crt=SHOP.certificate, tls_key=SHOP.key)
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def test_a_gateway_serves_http3_beside_https(mesh: Mesh) -> None:
    port = free_port()
    mesh.echo("web")
    mesh.run("gateway", f"--port=443={port}", name="ingress")
    mesh.announced("web")
    mesh.apply(secret())
    mesh.apply(HTTPS)
    until(lambda: http3.ask(port, "shop.example", ROOT.certificate).status == 200, "HTTP/3 is served")


def test_another_network_is_reached_through_its_gateway_alone(mesh: Mesh) -> None:
    port = free_port()
    mesh.apply(settings(port))
    mesh.apply(EAST_WEST)
    mesh.echo("web", flags=(NETWORK.format("east"),))
    mesh.announced("web")
    far, near = mesh.client("far", NETWORK.format("west")), mesh.client("near", NETWORK.format("east"))
    url = "http://web:9080/"
    until(lambda: near.request(url).status == 200, "in its own network it is reached directly")
    until(lambda: far.request(url).status == 503, "from another network there is no way")
    gateway = mesh.run(
        "gateway",
        "--name=east-west",
        "--label=istio=eastwestgateway",
        NETWORK.format("east"),
        f"--port=15443={port}",
        name="east-west",
    )
    until(lambda: far.request(url).status == 200, "it is reached through the gateway")
    gateway.stop()
    assert (far.request(url).status, near.request(url).status) == (503, 200)
