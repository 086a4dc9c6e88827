"""Mesh settings out of the ConfigMap."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.proxy_settings import CertificateDetails, ForwardedCertificate, ProxySettings
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from tests.unit.model.written import REVIEWS, mesh_config, obj, scope, service, snapshot


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        ("", {}),
        ("{}", {}),
        ("someFieldOfTomorrow: 1", {}),
        ("h2UpgradePolicy: UPGRADE", {"h2_upgrade": True}),
        ("trustDomain: example.org", {"trust_domain": "example.org"}),
        ("rootNamespace: root", {"root_namespace": "root"}),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", {"outbound_allow_any": False}),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY}", {}),
        ("connectTimeout: 1.5s", {"connect_timeout": 1500}),
        ("accessLogFile: /dev/stdout", {"access_log_file": "/dev/stdout"}),
        ("accessLogEncoding: JSON", {"access_log_json": True}),
        ("defaultHttpRetryPolicy: {attempts: 0}", {"default_retry": None}),
        ("accessLogFormat: '%PROTOCOL%'", {"access_log_format": "%PROTOCOL%\n"}),
        (
            '{accessLogEncoding: JSON, accessLogFormat: \'{"a": "%PROTOCOL%"}\'}',
            {"access_log_json": True, "access_log_format": '{"a": "%PROTOCOL%"}'},
        ),
        ("{accessLogEncoding: JSON, accessLogFormat: no JSON}", {"access_log_json": True}),
        ("accessLogFormat: '%NOBODY%'", {}),
        ('{accessLogEncoding: JSON, accessLogFormat: \'{"a": ["%"]}\'}', {"access_log_json": True}),
        ("protocolDetectionTimeout: 0s", {"detection_timeout": 0}),
        ("protocolDetectionTimeout: 5s", {"detection_timeout": 5000}),
        ("pathNormalization: {normalization: DEFAULT}", {}),
        ("pathNormalization: {normalization: NONE}", {"paths": ir.Paths.NONE}),
        ("pathNormalization: {normalization: MERGE_SLASHES}", {"paths": ir.Paths.MERGE_SLASHES}),
        (
            "pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}",
            {"paths": ir.Paths.DECODE_AND_MERGE_SLASHES},
        ),
        ("inboundTrafficPolicy: {mode: LOCALHOST}", {}),
        ("inboundTrafficPolicy: {mode: PASSTHROUGH}", {"inbound_passthrough": True}),
        ("defaultInboundHttpRetryPolicy: {attempts: 0}", {"inbound_retry": None}),
        (
            "defaultInboundHttpRetryPolicy: {attempts: 1, backoff: 5ms, perTryTimeout: 1s}",
            {"inbound_retry": msgspec.structs.replace(ir.INBOUND_RETRY, attempts=1, backoff=5)},
        ),
        ("meshMTLS: {minProtocolVersion: TLS_AUTO}", {}),
        ("meshMTLS: {minProtocolVersion: TLSV1_2}", {"mesh_tls": ir.TlsParameters(min_version="TLSV1_2")}),
        (
            "tlsDefaults: {ecdhCurves: [P-256, P-257], cipherSuites: [AES128-SHA, none]}",
            {"tls_defaults": ir.TlsParameters(ecdh_curves=("P-256",), cipher_suites=("AES128-SHA",))},
        ),
        ("outboundClusterStatName: '%SERVICE%'", {"outbound_statistics": "%SERVICE%"}),
        ("defaultServiceExportTo: ['.']", {"service_export": (".",)}),
        ("defaultServiceExportTo: []", {}),
        ("defaultVirtualServiceExportTo: [a]", {"virtual_service_export": ("a",)}),
        ("defaultDestinationRuleExportTo: [a, b]", {"destination_rule_export": ("a", "b")}),
        ("defaultConfig: {concurrency: 1}", {"default_config": '{"concurrency":1}'}),
        (
            "defaultConfig: {gatewayTopology: {numTrustedProxies: 2, proxyProtocol: {}, "
            "forwardClientCertDetails: FORWARD_ONLY}}",
            {
                "proxy": ProxySettings(
                    trusted_proxies=2,
                    proxy_protocol=True,
                    gateway_certificate=ForwardedCertificate.FORWARD_ONLY,
                )
            },
        ),
        (
            "defaultConfig: {proxyHeaders: {server: {value: mine}, requestId: {disabled: true}, "
            "xForwardedPort: {enabled: true}, envoyDebugHeaders: {disabled: true}, "
            "forwardedClientCert: SANITIZE, setCurrentClientCertDetails: {uri: true, cert: true}}}",
            {
                "proxy": ProxySettings(
                    server="mine",
                    request_id=False,
                    forwarded_port=True,
                    debug_headers=False,
                    sidecar_certificate=ForwardedCertificate.SANITIZE,
                    sidecar_details=CertificateDetails(uri=True, cert=True),
                )
            },
        ),
        ("defaultConfig: {proxyHeaders: {server: {disabled: true}}}", {"proxy": ProxySettings(server="")}),
        ("ingressSelector: public", {"ingress_gateway": "public"}),
        ("{ingressSelector: public, ingressService: edge}", {"ingress_gateway": "public"}),
        ("ingressService: edge", {"ingress_gateway": "edge"}),
        ("ingressService: istio-ingressgateway", {}),
        ("trustDomainAliases: [old.example]", {"trust_domain_aliases": ("old.example",)}),
        ("dnsRefreshRate: 5s", {"dns_refresh_rate": 5000}),
        ("tcpKeepalive: {time: 60s}", {"keepalive": ir.KeepAlive(time=60_000)}),
        ("enableAutoMtls: false", {"auto_mtls": False}),
        (
            "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 3}}}",
            {"connection_pool": ir.ConnectionPool(max_connections=3)},
        ),
        (
            "defaultTrafficPolicy: {outlierDetection: {interval: 3s}}",
            {"outlier": ir.OutlierDetection(interval=3000)},
        ),
        (
            "defaultHttpRetryPolicy: {attempts: 1, retryOn: 5xx}",
            {"default_retry": ir.RetryPolicy(attempts=1, retry_on=("5xx",))},
        ),
    ],
)
def test_what_is_written_and_nothing_else_differs_from_the_defaults(
    written: str, changes: dict[str, Any]
) -> None:
    made = Snapshot()
    facts = made.put_config(mesh_config(written))
    assert made.rejected == {}
    assert Reader(made).mesh() == ir.Mesh(**changes)
    assert facts == ({Fact(FactKind.MESH)} if changes else set())


def test_what_the_snapshot_was_given_holds_where_nothing_is_written() -> None:
    made = Snapshot(ir.Mesh(trust_domain="example.org"))
    made.put_config(mesh_config("h2UpgradePolicy: UPGRADE"))
    assert Reader(made).mesh() == ir.Mesh(trust_domain="example.org", h2_upgrade=True)
    assert made.remove_config("ConfigMap", "istio-system", "istio") == {Fact(FactKind.MESH)}
    assert Reader(made).mesh() == ir.Mesh(trust_domain="example.org")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "- a",
        "connectTimeout: soon",
        "h2UpgradePolicy: MAYBE",
        "defaultHttpRetryPolicy: 3",
        "defaultConfig: {proxyHeaders: 3}",
    ],
)
def test_wrong_settings_are_rejected_and_the_last_good_ones_stay(text: str) -> None:
    made = Snapshot()
    made.put_config(mesh_config("h2UpgradePolicy: UPGRADE"))
    assert made.put_config(mesh_config(text)) == set()
    assert "data.mesh" in made.rejected["ConfigMap", "istio-system", "istio"]
    assert Reader(made).mesh() == ir.Mesh(h2_upgrade=True)


def test_other_config_maps_are_not_mesh_settings() -> None:
    made = Snapshot()
    assert made.put_config(mesh_config("h2UpgradePolicy: UPGRADE", name="other")) == set()
    assert made.put_config(mesh_config("h2UpgradePolicy: UPGRADE", namespace="default")) == set()
    assert Reader(made).mesh() == ir.Mesh()


def test_what_says_nothing_of_who_sees_it_is_seen_by_whom_the_mesh_says() -> None:
    made = snapshot(
        service("reviews", 80),
        service("open", 80, export_to=("*",)),
        obj("VirtualService", "reviews", {"hosts": ["open"], "http": [{"redirect": {"uri": "/"}}]}),
        obj("DestinationRule", "reviews", {"host": "open", "subsets": [{"name": "v1"}]}),
    )
    near, far = scope(made, "default"), scope(made, "shop")
    opened = "open.default.svc.cluster.local"

    def seen(by: Scope) -> tuple[bool, bool, bool, bool]:
        reader = Reader(made)
        return (
            reader.visible(by, REVIEWS),
            reader.visible(by, opened),
            reader.route_table(by, opened, 80) is not None,
            reader.destination(by, opened) is not None,
        )

    assert seen(near) == seen(far) == (True, True, True, True)
    for name, visible in (
        ("defaultServiceExportTo", (False, True, True, True)),
        ("defaultVirtualServiceExportTo", (True, True, False, True)),
        ("defaultDestinationRuleExportTo", (True, True, True, False)),
    ):
        made.put_config(mesh_config(f"{name}: ['.']"))
        assert seen(near) == (True, True, True, True)
        assert seen(far) == visible
        made.put_config(mesh_config(f"{name}: [shop]"))
        assert seen(far) == (True, True, True, True)


def test_ingresses_are_served_by_the_gateways_that_the_settings_name() -> None:
    made = snapshot()
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "a", "namespace": "b"},
    }
    made.put_config(decode(body | {"spec": {"ingressClassName": "istio"}}))

    def serving() -> list[str]:
        names = ("ingressgateway", "public")
        return [
            name
            for name in names
            if Reader(made).gateway_listeners(scope(made, "istio-system", ProxyType.ROUTER, istio=name))
        ]

    assert serving() == ["ingressgateway"]
    made.put_config(mesh_config("ingressSelector: public"))
    assert serving() == ["public"]
    made.remove_config("ConfigMap", "istio-system", "istio")
    assert serving() == ["ingressgateway"]
