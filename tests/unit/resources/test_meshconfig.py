"""Mesh settings."""

import pytest

from argosy.resources import meshconfig
from argosy.resources.meshconfig import AccessLogEncoding, MeshConfig, MeshH2UpgradePolicy, OutboundMode
from argosy.resources.validation import validate


def test_defaults_are_istios() -> None:
    config = meshconfig.load("")
    assert config == MeshConfig()
    assert config.trust_domain == "cluster.local"
    assert config.root_namespace == "istio-system"
    assert config.outbound_traffic_policy.mode is OutboundMode.ALLOW_ANY
    assert config.h2_upgrade_policy is MeshH2UpgradePolicy.DO_NOT_UPGRADE
    assert config.access_log_encoding is AccessLogEncoding.TEXT
    assert config.connect_timeout == "10s"


def test_settings_are_read_and_unknown_ones_tolerated() -> None:
    config = meshconfig.load(
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nh2UpgradePolicy: UPGRADE\naccessLogFile: /dev/stdout\n"
        "defaultHttpRetryPolicy: {attempts: 0}\nmeshMTLS: {minProtocolVersion: TLSV1_3}\n"
        "defaultConfig: {concurrency: 2}\nextensionProviders: null\nsomethingNew: 1\n"
    )
    assert config.outbound_traffic_policy.mode is OutboundMode.REGISTRY_ONLY
    assert config.h2_upgrade_policy is MeshH2UpgradePolicy.UPGRADE
    assert config.default_http_retry_policy is not None
    assert config.default_http_retry_policy.attempts == 0
    assert config.mesh_mtls is not None
    assert config.mesh_mtls.min_protocol_version == "TLSV1_3"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "mesh"),
        ("a: [", "mesh:"),
        ("a: 1\n---\nb: 2", "2 documents"),
        ("outboundTrafficPolicy: {mode: SOME}", "SOME"),
        ("trustDomain: 5", "trustDomain"),
    ],
)
def test_what_cannot_be_read_is_a_value_error(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        meshconfig.load(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("connectTimeout: 5", ""),
        ("connectTimeout: 0s", "connectTimeout"),
        ("connectTimeout: 2h", "connectTimeout"),
        ("trustDomain: 'a b'", "trustDomain"),
        ("trustDomainAliases: [ok, '']", "trustDomainAliases[1]"),
        ("rootNamespace: A", "rootNamespace"),
        ("defaultHttpRetryPolicy: {attempts: -1}", "defaultHttpRetryPolicy.attempts"),
        ("defaultTrafficPolicy: {connectionPool: {}}", "defaultTrafficPolicy.connectionPool"),
        ("localityLbSetting: {failover: [{from: a, to: a}]}", "localityLbSetting.failover[0]"),
        (
            "zoneAwareLbSetting: {failoverPriority: [topology.kubernetes.io/zone]}",
            "zoneAwareLbSetting.failoverPriority[0]",
        ),
        ("meshMTLS: {ecdhCurves: [P-256]}", "meshMTLS.ecdhCurves"),
        ("trustDomain: ''", "trustDomain"),
        ("defaultHttpRetryPolicy: {attempts: 0, backoff: 1s}", "defaultHttpRetryPolicy.backoff"),
        ("defaultInboundHttpRetryPolicy: {retryOn: 5xx}", "defaultInboundHttpRetryPolicy.retryOn"),
        (
            "defaultInboundHttpRetryPolicy: {attempts: 1, perTryTimeout: 1us}",
            "defaultInboundHttpRetryPolicy.perTryTimeout",
        ),
        (
            "defaultTrafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}",
            "defaultTrafficPolicy.outlierDetection.maxEjectionPercent",
        ),
        ("proxyListenPort: 0", "proxyListenPort"),
        ("serviceSettings: [{hosts: [a b]}]", "serviceSettings[0].hosts[0]"),
        ("serviceSettings: [{hosts: a}]", "serviceSettings[0].hosts"),
        ("defaultConfig: {drainDuration: 1500ms}", "defaultConfig.drainDuration"),
        ("defaultConfig: {discoveryAddress: istiod}", "defaultConfig.discoveryAddress"),
        ("defaultConfig: {discoveryAddress: ''}", "defaultConfig.discoveryAddress"),
        ("defaultConfig: {statsdUdpAddress: 'a:70000'}", "defaultConfig.statsdUdpAddress"),
        (
            "defaultConfig: {envoyMetricsService: {address: a b:1}}",
            "defaultConfig.envoyMetricsService.address",
        ),
        ("defaultConfig: {proxyAdminPort: 0}", "defaultConfig.proxyAdminPort"),
        ("defaultConfig: {concurrency: -1}", "defaultConfig.concurrency"),
        ("defaultConfig: {statusPort: text}", "defaultConfig"),
        ("defaultConfig: {controlPlaneAuthPolicy: SOME}", "defaultConfig"),
        ("defaultConfig: {tracing: {zipkin: {address: ''}}}", "defaultConfig.tracing.zipkin.address"),
        (
            "defaultConfig: {tracing: {lightstep: {address: 'a:1'}}}",
            "defaultConfig.tracing.lightstep.accessToken",
        ),
        (
            "defaultConfig: {tracing: {tlsSettings: {mode: MUTUAL, privateKey: k}}}",
            "defaultConfig.tracing.tlsSettings.clientCertificate",
        ),
        ("defaultConfig: {privateKeyProvider: {}}", "defaultConfig.privateKeyProvider"),
        ("defaultConfig: {privateKeyProvider: {qat: {}}}", "defaultConfig.privateKeyProvider.qat.pollDelay"),
    ],
)
def test_problems_name_the_field(text: str, field: str) -> None:
    assert [problem.field for problem in meshconfig.judge(text).errors] == [field]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "trustDomain: '10.0.0.1'",
        "defaultTrafficPolicy: {}",
        "defaultInboundHttpRetryPolicy: {}",
        "defaultConfig: {discoveryAddress: 'istiod.istio-system.svc:15012', drainDuration: 45s}",
        "defaultConfig: {tracing: {zipkin: {address: '$(HOST_IP):9411'}, datadog: {address: '[::1]:8126'}}}",
        "defaultConfig: {privateKeyProvider: {cryptomb: {pollDelay: 10ms}}, proxyMetadata: {A: b}}",
        "extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a.example, port: 80, pathPrefix: /a}}]",
        "extensionProviders: [{name: a, prometheus: {}}, {name: b, zipkin: {service: ns/a.com, port: 9411}}]",
        "tlsDefaults: {ecdhCurves: [P-256, X25519]}",
    ],
)
def test_settings_that_istio_takes_are_right(text: str) -> None:
    found = meshconfig.judge(text)
    assert (found.errors, found.warnings) == ([], [])


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("extensionProviders: [{prometheus: {}}]", "extensionProviders[0].name"),
        ("extensionProviders: [{name: a}]", "extensionProviders[0]"),
        (
            "extensionProviders: [{name: a, prometheus: {}}, {name: a, prometheus: {}}]",
            "extensionProviders[1].name",
        ),
        ("extensionProviders: [{name: a, zipkin: {port: 1}}]", "extensionProviders[0].zipkin.service"),
        ("extensionProviders: [{name: a, zipkin: {service: a}}]", "extensionProviders[0].zipkin.port"),
        ("extensionProviders: [{name: a, zipkin: 1}]", "extensionProviders[0].zipkin"),
        (
            "extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: a, port: 1, statusOnError: '999'}}]",
            "extensionProviders[0].envoyExtAuthzGrpc.statusOnError",
        ),
        (
            "extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a, port: 1, pathPrefix: b}}]",
            "extensionProviders[0].envoyExtAuthzHttp.pathPrefix",
        ),
        ("tlsDefaults: {ecdhCurves: [P-1]}", "tlsDefaults.ecdhCurves[0]"),
        ("tlsDefaults: {ecdhCurves: [P-256, P-256]}", "tlsDefaults.ecdhCurves[1]"),
        (
            "defaultInboundHttpRetryPolicy: {attempts: 1, retryRemoteLocalities: true}",
            "defaultInboundHttpRetryPolicy.retryRemoteLocalities",
        ),
    ],
)
def test_what_istio_would_pass_over_is_warned_of(text: str, field: str) -> None:
    found = meshconfig.judge(text)
    assert found.errors == []
    assert [problem.field for problem in found.warnings] == [field]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("networks: {a: {endpoints: [{fromCidr: 10.0.0.0/8}, {fromRegistry: one}]}}", None),
        ("networks: {a: {gateways: [{address: gw.example, port: 1, locality: b}]}}", None),
        ("networks: {a: {endpoints: [{fromCidr: 10.0.0.0/80}]}}", "networks['a'].endpoints[0].fromCidr"),
        ("networks: {a: {endpoints: [{fromRegistry: a_b}]}}", "networks['a'].endpoints[0].fromRegistry"),
        ("networks: {a: {endpoints: [{fromCidr: 1.1.1.1, fromRegistry: a}]}}", "networks['a'].endpoints[0]"),
        ("networks: {a: {gateways: [{address: 1.1.1.1}]}}", "networks['a'].gateways[0].port"),
        ("networks: {a: {gateways: [{address: a b, port: 1}]}}", "networks['a'].gateways[0].address"),
        (
            "networks: {a: {gateways: [{registryServiceName: '', port: 1}]}}",
            "networks['a'].gateways[0].registryServiceName",
        ),
        ("networks: [a]", ""),
    ],
)
def test_networks_are_judged(text: str, field: str | None) -> None:
    found = meshconfig.judge(text, meshconfig.NETWORKS_KEY)
    assert [problem.field for problem in found.errors] == ([] if field is None else [field])
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"meshNetworks": text},
    }
    verdict = validate(config_map)
    assert verdict.valid, "networks are not in force: what is wrong with them is told"
    assert len(verdict.warnings) == len(found.errors)


def test_the_config_map_of_the_mesh_is_checked() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
    }
    (problem,) = validate(obj | {"data": {"mesh": "connectTimeout: -1s"}}).errors
    assert problem.field == "data['mesh'].connectTimeout"
    assert validate(obj | {"data": {"mesh": "connectTimeout: 1s", "meshNetworks": ":"}}).valid
    other = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "other"},
        "data": {"mesh": "[broken"},
    }
    assert validate(other).valid
