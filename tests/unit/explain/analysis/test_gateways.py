"""Gateways: their workloads, ports, certificates, and each other."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.explain.analysis.written import found, obj

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def gateway(name: str, servers: str = "[]", selector: str = "{istio: ingressgateway}") -> dict[str, Any]:
    return obj(f"Gateway {name}", f"{{selector: {selector}, servers: {servers}}}")


def server(port: int, hosts: str = "['*']", more: str = "") -> str:
    return f"[{{port: {{number: {port}, protocol: HTTP, name: p}}, hosts: {hosts}{more}}}]"


def codes(*objects: dict[str, Any], only: str = "", **more: Any) -> list[tuple[str, str]]:
    return found(*objects, only=only, **more)


def test_a_gateway_needs_a_workload_and_istios_own_is_taken_to_be_there_offline() -> None:
    assert codes(gateway("a/g", selector="{app: none}")) == [("IST0101", "Gateway a/g")]
    assert codes(gateway("a/g", server(443))) == []
    assert codes(gateway("a/g", server(443)), complete=True) == [("IST0101", "Gateway a/g")]
    assert codes(gateway("a/g"), mesh="ingressControllerMode: 'OFF'") == [("IST0101", "Gateway a/g")]


def test_ports_are_those_to_which_services_lead() -> None:
    assert codes(gateway("a/g", server(8004))) == [("IST0162", "Gateway a/g")]
    pod = obj("Pod a/p", labels={"app": "edge"})
    before = obj("Service a/s", "{selector: {app: edge}, ports: [{name: http, port: 80, targetPort: 8080}]}")
    elsewhere = obj("Service b/s", "{selector: {app: edge}, ports: [{name: http, port: 9000}]}")
    for port, expected in (
        (8080, []),
        (80, [("IST0162", "Gateway a/g")]),
        (9000, [("IST0162", "Gateway a/g")]),
    ):
        assert codes(gateway("a/g", server(port), "{app: edge}"), pod, before, elsewhere) == expected


def test_a_gateway_that_is_no_pod_listens_itself() -> None:
    entry = obj("WorkloadEntry istio-system/ingress", "{address: 1.1.1.1, labels: {istio: ingressgateway}}")
    assert codes(gateway("a/g", server(8004)), entry, complete=True) == []


def certificate(days: int) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=10))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem), plain


def secret(name: str, **data: bytes) -> dict[str, Any]:
    values = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "istio-system"},
        "data": values,
    }


def test_certificates_are_secrets_of_the_workloads_namespace() -> None:
    one = gateway("a/g", server(443, more=", tls: {mode: SIMPLE, credentialName: web}"))
    good, key = certificate(10)
    expired, _ = certificate(-1)
    now = NOW.isoformat()
    assert codes(one) == [("IST0101", "Gateway a/g")]
    assert codes(one, secret("web", tls_crt=good, tls_key=key), now=now) == []
    assert codes(one, secret("web", cert=good, key=key), now=now) == []
    for wrong in (
        secret("web", tls_crt=expired, tls_key=key),
        secret("web", tls_crt=b"nothing", tls_key=key),
        secret("web", tls_crt=good),
        secret("web", other=b"x"),
    ):
        assert codes(one, wrong, now=now) == [("IST0161", "Gateway a/g")]
    assert codes(one, complete=True, hidden=["Secret"], only="IST0161") == []


def test_gateways_with_one_certificate() -> None:
    tls = ", tls: {mode: SIMPLE, credentialName: web}"
    wide, narrow = gateway("a/wide", server(443, "[a.com]", tls)), "{istio: ingressgateway, tier: one}"
    same = gateway("b/same", server(443, "[b.com]", tls))
    inner = gateway("b/inner", server(443, "[b.com]", tls), narrow)
    other = gateway("b/other", server(443, "[b.com]", tls.replace("web", "shop")))
    assert codes(wide, same, only="IST0138") == [("IST0138", "Gateway a/wide"), ("IST0138", "Gateway b/same")]
    assert codes(wide, inner, only="IST0138") == [("IST0138", "Gateway a/wide")]
    assert codes(wide, other, only="IST0138") == []


def test_gateways_that_take_each_others_hosts() -> None:
    mine = gateway("a/mine", server(80, "[x.com, y.com]"))
    both = [("IST0145", "Gateway a/mine"), ("IST0145", "Gateway b/theirs")]
    theirs = gateway("b/theirs", server(80, "[y.com]"))
    assert codes(mine, theirs) == both
    assert codes(mine, gateway("b/theirs", server(443, "[y.com]"))) == []
    assert codes(mine, gateway("b/theirs", server(80, "[z.com]"))) == []
    assert codes(mine, gateway("b/theirs", server(80, "['*.com']"))) == [], "the more specific host wins"
    assert codes(mine, gateway("b/theirs", server(80, "[y.com]", ", bind: 1.1.1.1"))) == []
    part = gateway("b/theirs", server(80, "[y.com]"), "{tier: one}")
    pod = obj("Pod a/p", labels={"istio": "ingressgateway", "tier": "one"})
    assert codes(mine, part, only="IST0145") == []
    assert codes(mine, part, pod, only="IST0145") == both
