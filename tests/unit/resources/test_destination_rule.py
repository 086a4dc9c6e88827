"""The rules of DestinationRule: each row is what is written, the field that is wrong, and a word of why."""

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict

Judge = Callable[..., Verdict]


def dr(**fields: Any) -> dict[str, Any]:
    return {"host": "reviews"} | fields


def policy(**fields: Any) -> dict[str, Any]:
    return dr(trafficPolicy=fields)


def lb(**fields: Any) -> dict[str, Any]:
    return policy(loadBalancer=fields)


def tls(**fields: Any) -> dict[str, Any]:
    return policy(tls=fields)


def locality(**fields: Any) -> dict[str, Any]:
    return policy(loadBalancer={"localityLbSetting": fields}, outlierDetection={})


def zone_aware(**fields: Any) -> dict[str, Any]:
    return policy(loadBalancer={"zoneAwareLbSetting": fields}, outlierDetection={})


@pytest.mark.parametrize(
    "spec",
    [
        dr(),
        dr(host="*.example.com"),
        dr(subsets=[{"name": "v1", "labels": {"version": "v1"}}, {"name": "all"}]),
        dr(exportTo=["."], workloadSelector={"matchLabels": {"app": "a"}}),
        dr(exportTo=["shop"], workloadSelector={"matchLabels": {"app": "a"}}),
        lb(simple="LEAST_REQUEST", warmup={"duration": "30s", "minimumPercent": 50, "aggression": 1.5}),
        lb(consistentHash={"httpCookie": {"name": "u", "ttl": "0s", "attributes": [{"name": "SameSite"}]}}),
        lb(consistentHash={"useSourceIp": True, "maglev": {"tableSize": 65537}}),
        lb(consistentHash={"httpHeaderName": "x", "ringHash": {"minimumRingSize": 2}}),
        locality(distribute=[{"from": "a/*", "to": {"a/b": 70, "c": 30}}, {"from": "b/x", "to": {"c": 100}}]),
        locality(distribute=[{"from": f, "to": {"b": 100}} for f in ("a/b/c", "a/b/*", "a/*", "*")]),
        locality(failover=[{"from": "a", "to": "b"}], failoverPriority=["version"]),
        zone_aware(failover=[{"from": "a", "to": "b"}], failoverPriority=["version=v1"], minClusterSize=6),
        policy(connectionPool={"tcp": {"idleTimeout": "0s", "tcpKeepalive": {"time": "7200s", "probes": 3}}}),
        policy(
            connectionPool={"http": {"http2KeepAlive": {"interval": "15s"}, "h2UpgradePolicy": "UPGRADE"}}
        ),
        policy(
            outlierDetection={
                "consecutive5xxErrors": 0,
                "interval": "1s",
                "outlierDetectionHttpErrorCodes": [429],
            }
        ),
        policy(
            outlierDetection={"splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 3}
        ),
        policy(portLevelSettings=[{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}]),
        policy(tunnel={"targetHost": "a.com", "targetPort": 443}),
        policy(tunnel={"targetHost": "::1", "targetPort": 443, "protocol": "POST"}),
        policy(proxyProtocol={"version": "V2"}),
        policy(retryBudget={"percent": 20.5, "minRetryConcurrency": 3, "budgetInterval": "1s"}),
        tls(mode="ISTIO_MUTUAL"),
        tls(mode="SIMPLE", caCertificates="/ca", subjectAltNames=["a"]),
        tls(mode="SIMPLE", insecureSkipVerify=True),
        tls(mode="MUTUAL", credentialName="c", insecureSkipVerify=True),
        tls(mode="MUTUAL", clientCertificate="c", privateKey="k"),
    ],
)
def test_valid(judge: Judge, spec: dict[str, Any]) -> None:
    verdict = judge("DestinationRule", spec)
    assert verdict.errors == ()
    assert verdict.warnings == ()


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        (dr(host="a b"), "spec.host", "not a host name"),
        ({"subsets": []}, "spec.host", "is missing"),
        (dr(subsets=[{"name": "a"}, {"name": "a"}]), "spec.subsets[1].name", "twice"),
        (dr(subsets=[{"name": ""}]), "spec.subsets[0].name", "DNS label"),
        (dr(subsets=[{"labels": {}}]), "spec.subsets[0].name", "is missing"),
        (dr(subsets=[{"name": "a", "labels": {"x": "*"}}]), "spec.subsets[0].labels", "label value"),
        (dr(subsets=[{"name": "a", "trafficPolicy": {}}]), "spec.subsets[0].trafficPolicy", "is empty"),
        (
            dr(exportTo=["*"], workloadSelector={"matchLabels": {"a": "b"}}),
            "spec.exportTo",
            "beyond its namespace",
        ),
        (dr(workloadSelector={"matchLabels": {"a": "*"}}), "spec.workloadSelector.matchLabels", "wildcards"),
        (policy(), "spec.trafficPolicy", "is empty"),
        (lb(simple="X"), "spec.trafficPolicy.loadBalancer.simple", "not one of LEAST_CONN"),
        (
            lb(simple="RANDOM", consistentHash={}),
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "excludes simple",
        ),
        (
            lb(consistentHash={"useSourceIp": True, "httpHeaderName": "x"}),
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "httpHeaderName and useSourceIp",
        ),
        (
            lb(consistentHash={"ringHash": {}, "maglev": {"tableSize": 3}}),
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "keep one",
        ),
        (
            lb(consistentHash={"httpHeaderName": "a\nb"}),
            "spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName",
            "has control characters",
        ),
        (
            lb(consistentHash={"httpCookie": {"name": "a", "attributes": [{"name": "b", "value": "c\0d"}]}}),
            "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes[0].value",
            "has control characters",
        ),
        (
            lb(consistentHash={"httpCookie": {"name": ""}}),
            "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.name",
            "is empty",
        ),
        (
            lb(consistentHash={"httpCookie": {"name": "a", "attributes": [{"name": "b"}, {"name": ""}]}}),
            "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes[1].name",
            "is empty",
        ),
        (
            lb(consistentHash={"httpCookie": {"name": "a", "ttl": "x"}}),
            "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.ttl",
            "not a duration",
        ),
        *(
            (
                lb(consistentHash={"maglev": {"tableSize": size}}),
                "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
                f"{size} is not a prime",
            )
            for size in (0, 1, 9, 65536, 5000077)
        ),
        (
            lb(consistentHash={"ringHash": {}, "minimumRingSize": 5}),
            "spec.trafficPolicy.loadBalancer.consistentHash.minimumRingSize",
            "excludes ringHash",
        ),
        (
            lb(localityLbSetting={}, zoneAwareLbSetting={}),
            "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting",
            "excludes",
        ),
        (lb(warmup={}), "spec.trafficPolicy.loadBalancer.warmup.duration", "is missing"),
        (lb(warmup={"duration": "0s"}), "spec.trafficPolicy.loadBalancer.warmup.duration", "1ms"),
        (
            lb(warmup={"duration": "1s", "minimumPercent": 101}),
            "spec.trafficPolicy.loadBalancer.warmup.minimumPercent",
            "101",
        ),
        (
            lb(warmup={"duration": "1s", "aggression": 0.5}),
            "spec.trafficPolicy.loadBalancer.warmup.aggression",
            "0.5 is less than 1",
        ),
        (
            lb(warmup={"duration": "1s"}, warmupDurationSecs="1s"),
            "spec.trafficPolicy.loadBalancer.warmupDurationSecs",
            "old form",
        ),
        (
            locality(distribute=[{"from": "a", "to": {"b": 100}}], failover=[{"from": "a", "to": "b"}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failover",
            "excludes distribute",
        ),
        (
            locality(distribute=[{"from": "a", "to": {"b": 50}}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to",
            "add up to 50",
        ),
        (
            locality(distribute=[{"from": "a", "to": {"b": 100, "c": 0}}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to['c']",
            "0 is not between",
        ),
        (
            locality(distribute=[{"from": "a", "to": {"b/*": 50, "b/c": 50}}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to",
            "overlaps",
        ),
        (
            locality(distribute=[{"from": f, "to": {"b": 100}} for f in ("*", "a/b/c")]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute",
            "overlaps",
        ),
        (
            locality(distribute=[{"from": f, "to": {"b": 100}} for f in ("a/b/c", "a/b")]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute",
            "overlaps",
        ),
        (
            lb(consistentHash={"useSourceIp": True, "maglev": {"tableSize": 5000011}}),
            "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
            "less than 5000011",
        ),
        (
            locality(distribute=[{"from": "a//b", "to": {"b": 100}}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute",
            "has an empty region",
        ),
        (
            locality(distribute=[{"from": "*/b", "to": {"b": 100}}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute",
            "at the end",
        ),
        (
            locality(failover=[{"from": "a", "to": "a"}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0]",
            "two regions",
        ),
        (
            locality(failover=[{"from": "a/b", "to": "c"}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0].from",
            "not a region",
        ),
        (
            locality(failover=[{"from": "a", "to": "*"}]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0].to",
            "not a region",
        ),
        (
            locality(failover=[{"from": "a", "to": "b"}], failoverPriority=["topology.istio.io/subzone"]),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failoverPriority[0]",
            "contradicts failover",
        ),
        (
            zone_aware(failoverPriority=["topology.kubernetes.io/zone"]),
            "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failoverPriority[0]",
            "balanced by load",
        ),
        (
            zone_aware(
                failover=[{"from": "a", "to": "b"}], failoverPriority=["topology.kubernetes.io/region"]
            ),
            "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failoverPriority[0]",
            "contradicts failover",
        ),
        (policy(connectionPool={}), "spec.trafficPolicy.connectionPool", "is empty"),
        *(
            (
                policy(connectionPool={"http": {name: -1}}),
                f"spec.trafficPolicy.connectionPool.http.{name}",
                "negative",
            )
            for name in (
                "http1MaxPendingRequests",
                "http2MaxRequests",
                "maxRequestsPerConnection",
                "maxRetries",
                "maxConcurrentStreams",
            )
        ),
        *(
            (
                policy(connectionPool={"tcp": {name: "1ns"}}),
                f"spec.trafficPolicy.connectionPool.tcp.{name}",
                "finer",
            )
            for name in ("connectTimeout", "maxConnectionDuration", "idleTimeout")
        ),
        (
            policy(connectionPool={"tcp": {"connectTimeout": "0s"}}),
            "spec.trafficPolicy.connectionPool.tcp.connectTimeout",
            "less than 1ms",
        ),
        (
            policy(connectionPool={"tcp": {"tcpKeepalive": {"interval": "0s"}}}),
            "spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.interval",
            "less than 1ms",
        ),
        (
            policy(connectionPool={"http": {"http2KeepAlive": {"timeout": "1s"}}}),
            "spec.trafficPolicy.connectionPool.http.http2KeepAlive.interval",
            "is missing",
        ),
        (
            policy(connectionPool={"http": {"useClientProtocol": True, "h2UpgradePolicy": "UPGRADE"}}),
            "spec.trafficPolicy.connectionPool.http.useClientProtocol",
            "contradicts",
        ),
        (
            policy(connectionPool={"tcp": {"maxConnections": "10"}}),
            "spec.trafficPolicy.connectionPool.tcp.maxConnections",
            '"10" is not a whole number',
        ),
        (
            policy(outlierDetection={"consecutiveLocalOriginFailures": 1}),
            "spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
            "splitExternalLocalOriginErrors",
        ),
        (
            policy(outlierDetection={"maxEjectionPercent": 101}),
            "spec.trafficPolicy.outlierDetection.maxEjectionPercent",
            "101",
        ),
        (
            policy(outlierDetection={"outlierDetectionHttpErrorCodes": [99]}),
            "spec.trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes[0]",
            "99 is less than 100",
        ),
        (
            policy(portLevelSettings=[{"tls": {}}]),
            "spec.trafficPolicy.portLevelSettings[0].port",
            "is missing",
        ),
        (
            policy(portLevelSettings=[{"port": {"number": 1}}]),
            "spec.trafficPolicy.portLevelSettings[0]",
            "sets nothing",
        ),
        (
            policy(portLevelSettings=[{"port": {"number": 0}, "tls": {}}]),
            "spec.trafficPolicy.portLevelSettings[0].port.number",
            "0 is not a port",
        ),
        (
            policy(tunnel={"targetHost": "a", "targetPort": 1}, proxyProtocol={}),
            "spec.trafficPolicy.proxyProtocol",
            "excludes tunnel",
        ),
        (
            policy(tunnel={"targetHost": "a*", "targetPort": 1}),
            "spec.trafficPolicy.tunnel.targetHost",
            "host name",
        ),
        (
            policy(tunnel={"targetHost": "a", "targetPort": 0}),
            "spec.trafficPolicy.tunnel.targetPort",
            "not a port",
        ),
        (
            policy(tunnel={"targetHost": "a", "targetPort": 1, "protocol": "GET"}),
            "spec.trafficPolicy.tunnel.protocol",
            "CONNECT or POST",
        ),
        (policy(proxyProtocol={"version": "V3"}), "spec.trafficPolicy.proxyProtocol.version", "V1, V2"),
        (policy(retryBudget={"percent": 120}), "spec.trafficPolicy.retryBudget.percent", "120"),
        (
            tls(mode="SIMPLE", insecureSkipVerify=True, subjectAltNames=["a"]),
            "spec.trafficPolicy.tls.subjectAltNames",
            "insecureSkipVerify",
        ),
        (
            tls(mode="SIMPLE", insecureSkipVerify=True, credentialName="a"),
            "spec.trafficPolicy.tls.credentialName",
            "insecureSkipVerify",
        ),
        (
            tls(
                mode="MUTUAL",
                clientCertificate="a",
                privateKey="b",
                caCertificates="c",
                insecureSkipVerify=True,
            ),
            "spec.trafficPolicy.tls.caCertificates",
            "insecureSkipVerify",
        ),
        (
            tls(mode="SIMPLE", credentialName="a", caCrl="b"),
            "spec.trafficPolicy.tls.caCrl",
            "from credentialName",
        ),
        (tls(mode="MUTUAL", clientCertificate="a"), "spec.trafficPolicy.tls.privateKey", "is missing"),
        (tls(mode="NONE"), "spec.trafficPolicy.tls.mode", "DISABLE, ISTIO_MUTUAL, MUTUAL, SIMPLE"),
    ],
)
def test_invalid(judge: Judge, spec: dict[str, Any], field: str, says: str) -> None:
    errors = judge("DestinationRule", spec).errors
    assert [problem.field for problem in errors] == [field]
    assert says in errors[0].message


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            policy(outlierDetection={"consecutiveErrors": 5}),
            "spec.trafficPolicy.outlierDetection.consecutiveErrors",
        ),
        (
            lb(consistentHash={"useSourceIp": True, "minimumRingSize": 5}),
            "spec.trafficPolicy.loadBalancer.consistentHash.minimumRingSize",
        ),
        (
            lb(localityLbSetting={"failover": [{"from": "a", "to": "b"}]}),
            "spec.trafficPolicy.loadBalancer.localityLbSetting",
        ),
        (
            lb(zoneAwareLbSetting={"failoverPriority": ["a"]}),
            "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting",
        ),
        (dr(workloadSelector={}), "spec.workloadSelector.matchLabels"),
    ],
)
def test_warned_of(judge: Judge, spec: dict[str, Any], field: str) -> None:
    verdict = judge("DestinationRule", spec)
    assert verdict.errors == ()
    assert [problem.field for problem in verdict.warnings] == [field]
