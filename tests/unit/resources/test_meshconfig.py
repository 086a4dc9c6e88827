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
    ],
)
def test_problems_name_the_field(text: str, field: str) -> None:
    assert [problem.field for problem in meshconfig.judge(text).errors] == [field]


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
