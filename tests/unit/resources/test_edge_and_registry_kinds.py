"""The rules of Gateway, ServiceEntry, WorkloadEntry, PeerAuthentication, IdentityRegistration and the core kinds."""

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict

Judge = Callable[..., Verdict]


def server(**fields: Any) -> dict[str, Any]:
    return {
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]} | fields]
    }


def https(**tls: Any) -> dict[str, Any]:
    return server(port={"number": 443, "name": "https", "protocol": "HTTPS"}, tls=tls)


def se(**fields: Any) -> dict[str, Any]:
    return {"hosts": ["a.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]} | fields


def svc(*ports: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"ports": list(ports)} | fields


CERTIFICATE = {"serverCertificate": "c", "privateKey": "k"}

JWKS = '{"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}]}'
PEM = "-----BEGIN CERTIFICATE-----"


def jwt(**more: Any) -> dict[str, Any]:
    return {"type": "jwt", "jwt": {"issuer": "https://a.b", "audiences": ["x"]} | more}


VALID: list[tuple[str, dict[str, Any]]] = [
    ("Gateway", server()),
    ("Gateway", server(hosts=["shop/*", "./a.com", "*/*.a.com", "10.0.0.1"])),
    ("Gateway", server(bind="10.0.0.1")),
    ("Gateway", server(bind="unix:///run/x", port={"number": 0, "name": "x", "protocol": "http"})),
    ("Gateway", server(tls={"httpsRedirect": True})),
    ("Gateway", https()),
    ("Gateway", https(mode="SIMPLE", credentialName="c")),
    ("Gateway", https(mode="SIMPLE", credentialName="c", cipherSuites=["ALL", "-SHA", "+AES", "!RC4"])),
    ("Gateway", https(mode="SIMPLE", credentialNames=["a", "b"])),
    (
        "Gateway",
        https(mode="SIMPLE", minProtocolVersion="TLSV1_2", maxProtocolVersion="TLSV1_3", **CERTIFICATE),
    ),
    ("Gateway", https(mode="MUTUAL", caCertificates="a", caCrl="b", **CERTIFICATE)),
    ("Gateway", https(mode="OPTIONAL_MUTUAL", caCertCredentialName="a", tlsCertificates=[CERTIFICATE])),
    ("Gateway", https(mode="ISTIO_MUTUAL")),
    ("ServiceEntry", se()),
    ("ServiceEntry", se(hosts=["*.a.com"], addresses=["10.0.0.0/8"])),
    ("ServiceEntry", se(hosts=["*.a.com"], resolution="DYNAMIC_DNS")),
    ("ServiceEntry", se(resolution="STATIC", endpoints=[{"address": "::1", "ports": {"http": 8080}}])),
    ("ServiceEntry", se(resolution="STATIC", endpoints=[{"address": "unix:///run/x"}])),
    ("ServiceEntry", se(resolution="STATIC", workloadSelector={"labels": {"app": "a"}})),
    ("ServiceEntry", se(hosts=["*.a.com"], resolution="DNS", endpoints=[{"address": "b.com"}])),
    ("ServiceEntry", se(hosts=["a.com", "b.com"], resolution="DNS")),
    ("ServiceEntry", se(exportTo=["~"])),
    ("WorkloadEntry", {"address": "10.0.0.1", "ports": {"http": 80}, "labels": {"app": "a"}, "weight": 3}),
    ("WorkloadEntry", {"address": "a.com"}),
    ("WorkloadEntry", {"address": "unix://@abstract"}),
    ("PeerAuthentication", {}),
    ("PeerAuthentication", {"mtls": {"mode": "STRICT"}}),
    (
        "PeerAuthentication",
        {"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {"80": {"mode": "DISABLE"}}},
    ),
    (
        "IdentityRegistration",
        {"match": {"unixUser": "ann"}, "serviceAccounts": ["shop/reviews", "shop-*/*", "*/*"]},
    ),
    ("IdentityRegistration", {"match": {"unixUid": 0}, "serviceAccounts": ["a/b"]}),
    (
        "IdentityRegistration",
        {"match": {"selectors": ["k8s:ns=shop-*", "k8s:sa=reviews"]}, "serviceAccounts": ["a/b"]},
    ),
    (
        "IdentityRegistration",
        {"match": {"unixUid": 7, "selectors": ["host:name=vm-1"]}, "serviceAccounts": ["a/b"]},
    ),
    ("Attestor", {"type": "jwt", "jwt": {"issuer": "https://a.b", "audiences": ["x"]}}),
    ("Attestor", {"type": "jwt", "jwt": {"issuer": "nomad", "audiences": ["x"], "jwks": JWKS}}),
    ("Attestor", {"type": "tpm", "parameters": {"vendor": "any"}}),
    ("Attestor", {"type": "kubernetes", "kubernetes": {"audiences": ["x"], "issuer": "i", "jwks": JWKS}}),
    ("IssuingPolicy", {"maxLifetime": "1m"}),
    ("IssuingPolicy", {"allow": ["shop/*"], "deny": ["shop/till"], "reason": "stolen"}),
    ("Namespace", {}),
    ("Service", svc()),
    ("Service", svc({"port": 80})),
    (
        "Service",
        svc({"port": 80, "name": "a", "targetPort": "web"}, {"port": 81, "name": "b", "targetPort": 8081}),
    ),
    (
        "Service",
        svc({"port": 53, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}, clusterIP="None"),
    ),
    ("Service", {"type": "ExternalName", "externalName": "a.com"}),
    (
        "Secret",
        {
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": "YQ==", "tls.key": "Y\nQ=="},
            "stringData": {"a": "b"},
        },
    ),
    ("ConfigMap", {"data": {"a": "b"}, "binaryData": {"c": "YQ=="}}),
]

INVALID: list[tuple[str, Any, str, str]] = [
    ("Gateway", {}, "spec.servers", "is empty"),
    ("Gateway", {"servers": [{"hosts": ["*"]}]}, "spec.servers[0].port", "is missing"),
    ("Gateway", server(hosts=[]), "spec.servers[0].hosts", "is empty"),
    ("Gateway", server(hosts=["a"]), "spec.servers[0].hosts[0]", "short name"),
    ("Gateway", server(hosts=["*a.com"]), "spec.servers[0].hosts[0]", "partial wildcard"),
    ("Gateway", server(hosts=["~/a.com"]), "spec.servers[0].hosts[0]", "namespace"),
    ("Gateway", server(hosts=["a/"]), "spec.servers[0].hosts[0]", "write namespace/host"),
    ("Gateway", server(hosts=["a b.com"]), "spec.servers[0].hosts[0]", "not a host name"),
    ("Gateway", server(bind="a.com"), "spec.servers[0].bind", "not an IP address"),
    (
        "Gateway",
        server(bind="unix://x", port={"name": "x", "protocol": "TCP"}),
        "spec.servers[0].bind",
        "socket",
    ),
    ("Gateway", server(bind="unix:///x"), "spec.servers[0].port.number", "use 0"),
    (
        "Gateway",
        server(port={"number": 0, "name": "x", "protocol": "TCP"}),
        "spec.servers[0].port.number",
        "0 is not",
    ),
    ("Gateway", server(port={"number": 1, "protocol": "TCP"}), "spec.servers[0].port.name", "is empty"),
    (
        "Gateway",
        server(port={"number": 1, "name": "x"}),
        "spec.servers[0].port.protocol",
        "'' is not a protocol",
    ),
    (
        "Gateway",
        server(port={"number": 1, "name": "x", "protocol": "FTP"}),
        "spec.servers[0].port.protocol",
        "'FTP'",
    ),
    (
        "Gateway",
        server(port={"number": 1, "name": "x", "protocol": "TCP", "targetPort": 2}),
        "spec.servers[0].port.targetPort",
        "no effect",
    ),
    ("Gateway", {"servers": server()["servers"] * 2}, "spec.servers[1].port.name", "twice"),
    (
        "Gateway",
        server(tls={"mode": "SIMPLE", "credentialName": "c"}),
        "spec.servers[0].tls",
        "may only redirect",
    ),
    (
        "Gateway",
        server(port={"number": 1, "name": "x", "protocol": "TCP"}, tls={}),
        "spec.servers[0].tls",
        "not TCP",
    ),
    (
        "Gateway",
        server(port={"number": 1, "name": "x", "protocol": "TLS"}),
        "spec.servers[0].tls",
        "is missing",
    ),
    ("Gateway", https(mode="SIMPLE", serverCertificate="c"), "spec.servers[0].tls.privateKey", "is missing"),
    ("Gateway", https(mode="MUTUAL", **CERTIFICATE), "spec.servers[0].tls.caCertificates", "is missing"),
    (
        "Gateway",
        https(mode="SIMPLE", caCrl="a", **CERTIFICATE),
        "spec.servers[0].tls.caCrl",
        "not for mode SIMPLE",
    ),
    (
        "Gateway",
        https(mode="SIMPLE", credentialName="a", **CERTIFICATE),
        "spec.servers[0].tls",
        "credentialName and serverCertificate",
    ),
    (
        "Gateway",
        https(mode="SIMPLE", credentialName="a", credentialNames=["b"]),
        "spec.servers[0].tls",
        "credentialName and credentialNames",
    ),
    (
        "Gateway",
        https(mode="SIMPLE", tlsCertificates=[{"serverCertificate": "a"}]),
        "spec.servers[0].tls.tlsCertificates[0].privateKey",
        "is missing",
    ),
    (
        "Gateway",
        https(mode="ISTIO_MUTUAL", privateKey="a"),
        "spec.servers[0].tls.privateKey",
        "which has the mesh's",
    ),
    ("Gateway", https(mode="X"), "spec.servers[0].tls.mode", "not one of"),
    ("Gateway", server() | {"selector": {"a": "b c"}}, "spec.selector", "label value"),
    ("ServiceEntry", {}, "spec.hosts", "is missing"),
    ("ServiceEntry", se(hosts=[]), "spec.hosts", "is empty"),
    ("ServiceEntry", se(hosts=["*"]), "spec.hosts[0]", "'*' is not allowed"),
    ("ServiceEntry", se(hosts=["a b"]), "spec.hosts[0]", "not a host name"),
    ("ServiceEntry", se(hosts=["*.a.com"], resolution="DNS"), "spec.hosts[0]", "cannot be looked up"),
    ("ServiceEntry", se(addresses=["a"]), "spec.addresses[0]", "not an IP"),
    ("ServiceEntry", se(addresses=["10.0.0.0/8"], resolution="DNS"), "spec.addresses[0]", "NONE and STATIC"),
    (
        "ServiceEntry",
        se(hosts=["*.a.com"], addresses=["10.0.0.1"], resolution="DYNAMIC_DNS"),
        "spec.addresses",
        "DYNAMIC_DNS",
    ),
    ("ServiceEntry", se(resolution="DYNAMIC_DNS"), "spec.hosts[0]", "is no wildcard"),
    (
        "ServiceEntry",
        se(
            hosts=["*.a.com"], resolution="DYNAMIC_DNS", ports=[{"number": 1, "name": "a", "protocol": "TCP"}]
        ),
        "spec.ports[0].protocol",
        "no host name",
    ),
    ("ServiceEntry", se(resolution="X"), "spec.resolution", "not one of"),
    ("ServiceEntry", se(location="X"), "spec.location", "not one of"),
    ("ServiceEntry", se(ports=[{"name": "a"}]), "spec.ports[0].number", "is missing"),
    ("ServiceEntry", se(ports=[{"number": 1}]), "spec.ports[0].name", "is missing"),
    (
        "ServiceEntry",
        se(ports=[{"number": 0, "name": "a", "protocol": "http"}]),
        "spec.ports[0].number",
        "0 is not",
    ),
    (
        "ServiceEntry",
        se(ports=[{"number": 1, "name": "a_b", "protocol": "http"}]),
        "spec.ports[0].name",
        "DNS label",
    ),
    (
        "ServiceEntry",
        se(ports=[{"number": 1, "name": "a", "protocol": "x"}]),
        "spec.ports[0].protocol",
        "'x'",
    ),
    (
        "ServiceEntry",
        se(ports=[{"number": 1, "name": "a", "protocol": "http", "targetPort": 65536}]),
        "spec.ports[0].targetPort",
        "not a port",
    ),
    (
        "ServiceEntry",
        se(ports=[{"number": n, "name": "a", "protocol": "http"} for n in (1, 2)]),
        "spec.ports[1].name",
        "twice",
    ),
    (
        "ServiceEntry",
        se(ports=[{"number": 1, "name": n, "protocol": "http"} for n in "ab"]),
        "spec.ports[1].number",
        "twice",
    ),
    (
        "ServiceEntry",
        se(hosts=["a.com", "b.com"], resolution="DNS", ports=[{"number": 1, "name": "a", "protocol": "TCP"}]),
        "spec.ports[0].protocol",
        "cannot tell several hosts apart",
    ),
    ("ServiceEntry", se(endpoints=[{"address": "10.0.0.1"}]), "spec.endpoints", "resolution NONE"),
    (
        "ServiceEntry",
        se(resolution="DNS_ROUND_ROBIN", endpoints=[{"address": "a.com"}, {"address": "b.com"}]),
        "spec.endpoints",
        "takes one",
    ),
    (
        "ServiceEntry",
        se(resolution="STATIC", endpoints=[{"address": "a.com"}]),
        "spec.endpoints[0].address",
        "use resolution DNS",
    ),
    (
        "ServiceEntry",
        se(resolution="DNS", endpoints=[{"network": "far"}]),
        "spec.endpoints[0].address",
        "is missing, which resolution DNS needs",
    ),
    (
        "ServiceEntry",
        se(resolution="DNS", endpoints=[{"address": "unix:///x"}]),
        "spec.endpoints[0].address",
        "STATIC alone",
    ),
    (
        "ServiceEntry",
        se(resolution="DNS", endpoints=[{"address": "a b"}]),
        "spec.endpoints[0].address",
        "not a host name",
    ),
    (
        "ServiceEntry",
        se(resolution="DNS", endpoints=[{"address": "a.com", "ports": {"other": 1}}]),
        "spec.endpoints[0].ports['other']",
        "is no port of spec.ports (http)",
    ),
    (
        "ServiceEntry",
        se(resolution="STATIC", ports=[], endpoints=[{"address": "unix:///x"}]),
        "spec.endpoints[0].address",
        "serves one port",
    ),
    (
        "ServiceEntry",
        se(resolution="STATIC", endpoints=[{"address": "1.1.1.1"}], workloadSelector={"labels": {"a": "b"}}),
        "spec.endpoints",
        "excludes workloadSelector",
    ),
    (
        "ServiceEntry",
        se(resolution="STATIC", workloadSelector={"labels": {"a": "*"}}),
        "spec.workloadSelector.labels",
        "wildcards",
    ),
    (
        "ServiceEntry",
        se(resolution="STATIC", workloadSelector={"labels": {"": "a"}}),
        "spec.workloadSelector.labels",
        "is empty",
    ),
    ("ServiceEntry", se(exportTo=["~", "a"]), "spec.exportTo", "use '~' alone"),
    ("WorkloadEntry", None, "spec", "is missing"),
    ("WorkloadEntry", {}, "spec.address", "is missing"),
    ("WorkloadEntry", {"address": "a b"}, "spec.address", "neither an IP address nor a host name"),
    ("WorkloadEntry", {"address": "1.2.3.4/8"}, "spec.address", "neither"),
    ("WorkloadEntry", {"address": "unix://run"}, "spec.address", "absolute path"),
    ("WorkloadEntry", {"address": "unix:///run/"}, "spec.address", "absolute path"),
    ("WorkloadEntry", {"address": "unix:///x", "ports": {"a": 1}}, "spec.ports", "Unix socket"),
    ("WorkloadEntry", {"address": "1.2.3.4", "ports": {"a": 0}}, "spec.ports['a']", "0 is not a port"),
    ("WorkloadEntry", {"address": "1.2.3.4", "ports": {"a_b": 1}}, "spec.ports", "DNS label"),
    ("WorkloadEntry", {"address": "1.2.3.4", "labels": {"a/b/c": ""}}, "spec.labels", "not a DNS name"),
    ("WorkloadEntry", {"address": "1.2.3.4", "weight": -1}, "spec.weight", "-1 is less than 0"),
    ("PeerAuthentication", {"mtls": {"mode": "strict"}}, "spec.mtls.mode", '"strict" is not one of DISABLE'),
    ("PeerAuthentication", {"portLevelMtls": {}}, "spec.portLevelMtls", "is empty"),
    ("PeerAuthentication", {"portLevelMtls": {"80": {}}}, "spec.portLevelMtls", "for chosen workloads"),
    (
        "PeerAuthentication",
        {"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {"65536": {}}},
        "spec.portLevelMtls[65536]",
        "not a port",
    ),
    (
        "PeerAuthentication",
        {"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {"http": {}}},
        "spec.portLevelMtls",
        "int",
    ),
    (
        "PeerAuthentication",
        {"selector": {"matchLabels": {"*": "b"}}},
        "spec.selector.matchLabels",
        "wildcards",
    ),
    ("IssuingPolicy", {}, "spec", "says nothing"),
    ("IssuingPolicy", {"maxLifetime": "59s"}, "spec.maxLifetime", "too short"),
    ("IssuingPolicy", {"maxLifetime": "soon"}, "spec.maxLifetime", "not a duration"),
    ("IssuingPolicy", {"allow": ["shop"]}, "spec.allow[0]", "not namespace/name"),
    ("IssuingPolicy", {"deny": ["a/b", "shop/"]}, "spec.deny[1]", "not namespace/name"),
    ("IdentityRegistration", {"match": {}, "serviceAccounts": ["a/b"]}, "spec.match", "exactly one"),
    (
        "IdentityRegistration",
        {"match": {"unixUser": "a", "unixUid": 1}, "serviceAccounts": ["a/b"]},
        "spec.match",
        "exactly one",
    ),
    (
        "IdentityRegistration",
        {"match": {"unixUser": ""}, "serviceAccounts": ["a/b"]},
        "spec.match.unixUser",
        "empty",
    ),
    (
        "IdentityRegistration",
        {"match": {"unixUid": -1}, "serviceAccounts": ["a/b"]},
        "spec.match.unixUid",
        "-1",
    ),
    (
        "IdentityRegistration",
        {"match": {"unixUid": 1}, "serviceAccounts": []},
        "spec.serviceAccounts",
        "is empty",
    ),
    ("IdentityRegistration", {"match": {"unixUid": 1}}, "spec.serviceAccounts", "is missing"),
    (
        "IdentityRegistration",
        {"match": {"selectors": ["k8s:ns=shop", "ns=shop"]}, "serviceAccounts": ["a/b"]},
        "spec.match.selectors[1]",
        "ATTESTOR:KEY=VALUE",
    ),
    (
        "IdentityRegistration",
        {"match": {"selectors": ["*:ns=shop"]}, "serviceAccounts": ["a/b"]},
        "spec.match.selectors[0]",
        "ATTESTOR:KEY=VALUE",
    ),
    ("Attestor", {"type": "jwt"}, "spec.jwt", "is missing"),
    ("Attestor", {"type": ""}, "spec.type", "is empty"),
    ("Attestor", {"type": "tpm", "x509": {"roots": PEM}}, "spec.x509", "does not belong"),
    (
        "Attestor",
        {"type": "x509", "x509": {"roots": PEM}, "parameters": {"a": "b"}},
        "spec.parameters",
        "plugins",
    ),
    ("Attestor", {"type": "x509", "x509": {"roots": "x"}}, "spec.x509.roots", "PEM"),
    ("Attestor", jwt(audiences=[]), "spec.jwt.audiences", "prove nothing here"),
    ("Attestor", jwt(issuer="nomad"), "spec.jwt.issuer", "jwksUri"),
    ("Attestor", jwt(jwksUri="http://a.b"), "spec.jwt.jwksUri", "https://"),
    ("Attestor", jwt(jwks="{}"), "spec.jwt.jwks", "Key Set"),
    ("Attestor", jwt(jwks='{"keys": [{"kty": "oct", "k": "AA"}]}'), "spec.jwt.jwks", "private or shared"),
    ("Attestor", jwt(jwks=JWKS, jwksUri="https://a.b"), "spec.jwt", "keep one"),
    ("Attestor", jwt(claims=[{"claim": "a", "key": "B"}]), "spec.jwt.claims[0].key", "a-z"),
    ("Attestor", jwt(claims=[{"claim": "a", "key": "sub"}]), "spec.jwt.claims[0].key", "another claim"),
    (
        "Attestor",
        {"type": "kubernetes", "kubernetes": {"audiences": ["x"]}},
        "spec.kubernetes",
        "exactly one",
    ),
    (
        "Attestor",
        {"type": "kubernetes", "kubernetes": {"audiences": ["x"], "server": "https://a.b"}},
        "spec.kubernetes.credentialName",
        "is empty",
    ),
    (
        "IdentityRegistration",
        {"match": {"unixUid": 1}, "serviceAccounts": ["a"]},
        "spec.serviceAccounts[0]",
        "shop/*",
    ),
    (
        "IdentityRegistration",
        {"match": {"unixUid": 1}, "serviceAccounts": ["a/b/c"]},
        "spec.serviceAccounts[0]",
        "a/b/c",
    ),
    ("Service", svc({"port": 0}), "spec.ports[0].port", "0 is less than 1"),
    ("Service", svc({"name": "a"}), "spec.ports[0].port", "is missing"),
    ("Service", svc({"port": 1, "name": "a"}, {"port": 2}), "spec.ports[1].name", "several ports"),
    ("Service", svc({"port": 1, "name": "a"}, {"port": 2, "name": "a"}), "spec.ports[1].name", "twice"),
    ("Service", svc({"port": 1, "name": "a"}, {"port": 1, "name": "b"}), "spec.ports[1].port", "twice"),
    ("Service", svc({"port": 1, "protocol": "HTTP"}), "spec.ports[0].protocol", "TCP, UDP, SCTP"),
    ("Service", svc({"port": 1, "targetPort": 70000}), "spec.ports[0].targetPort", "70000"),
    ("Service", svc({"port": 1, "targetPort": "a b"}), "spec.ports[0].targetPort", "DNS label"),
    ("Service", svc(type="X"), "spec.type", "ClusterIP"),
    ("Service", svc(clusterIP="x"), "spec.clusterIP", "not an IP"),
    ("Service", svc(type="ExternalName"), "spec.externalName", "is empty"),
    ("Secret", {"data": {"a b": ""}}, "data", "not a key"),
    ("Secret", {"data": {"a": "*"}}, "data['a']", "not base64"),
    ("ConfigMap", {"data": {"..": ""}}, "data", "not a key"),
    ("ConfigMap", {"data": {"a": ""}, "binaryData": {"a": ""}}, "binaryData['a']", "also in data"),
    ("ConfigMap", {"data": {"a": 5}}, "data.a", "5 is not text"),
]

WARNED: list[tuple[str, dict[str, Any], str]] = [
    ("Gateway", https(mode="PASSTHROUGH", credentialName="a"), "spec.servers[0].tls.credentialName"),
    ("Gateway", https(mode="PASSTHROUGH", cipherSuites=["X"]), "spec.servers[0].tls.cipherSuites[0]"),
    ("Gateway", https(cipherSuites=["AES128-SHA", "AES128-SHA"]), "spec.servers[0].tls.cipherSuites[1]"),
    ("Gateway", https(minProtocolVersion="TLSV1_0"), "spec.servers[0].tls.minProtocolVersion"),
    (
        "Gateway",
        https(minProtocolVersion="TLSV1_3", maxProtocolVersion="TLSV1_2"),
        "spec.servers[0].tls.minProtocolVersion",
    ),
    (
        "Gateway",
        https(mode="SIMPLE", tlsCertificates=[CERTIFICATE] * 3),
        "spec.servers[0].tls.tlsCertificates",
    ),
    (
        "Gateway",
        https(httpsRedirect=True),
        "spec.servers[0].tls.httpsRedirect",
    ),
    ("ServiceEntry", se(hosts=["*a.com"]), "spec.hosts[0]"),
    (
        "ServiceEntry",
        se(
            hosts=["a.com", "b.com"],
            addresses=["10.0.0.1"],
            resolution="DNS",
            ports=[{"number": 1, "name": "a", "protocol": "TLS"}],
        ),
        "spec.hosts",
    ),
    ("ServiceEntry", se(workloadSelector={"labels": {"a": "b"}}), "spec.workloadSelector"),
    ("ServiceEntry", se(resolution="STATIC", workloadSelector={}), "spec.workloadSelector.labels"),
    ("ServiceEntry", se(ports=[{"number": 1, "name": "a", "protocol": "TCP"}]), "spec.ports[0]"),
    ("WorkloadEntry", {"network": "n"}, "spec.address"),
    ("PeerAuthentication", {"selector": {}}, "spec.selector.matchLabels"),
]


@pytest.mark.parametrize(("kind", "spec"), VALID)
def test_valid(judge: Judge, kind: str, spec: dict[str, Any]) -> None:
    verdict = judge(kind, spec)
    assert verdict.errors == ()
    assert verdict.warnings == ()


@pytest.mark.parametrize(("kind", "spec", "field", "says"), INVALID)
def test_invalid(judge: Judge, kind: str, spec: Any, field: str, says: str) -> None:
    errors = judge(kind, spec).errors
    assert [problem.field for problem in errors] == [field]
    assert says in errors[0].message


@pytest.mark.parametrize(("kind", "spec", "field"), WARNED)
def test_warned_of(judge: Judge, kind: str, spec: dict[str, Any], field: str) -> None:
    verdict = judge(kind, spec)
    assert verdict.errors == ()
    assert [problem.field for problem in verdict.warnings] == [field]


@pytest.mark.parametrize(
    "data", ["hunter2", {"password": 5}, {"password": "hunter2*"}, ["hunter2"], {"hunter2*": ""}]
)
def test_no_message_shows_the_value_of_a_secret(judge: Judge, data: Any) -> None:
    errors = judge("Secret", {"data": data}).errors
    assert errors
    if not isinstance(data, dict) or "hunter2*" not in data:  # a key is no secret
        assert "hunter2" not in "".join(str(problem) for problem in errors)


def test_an_object_outside_the_root_namespace_gives_its_own_accounts_alone(judge: Judge) -> None:
    match = {"unixUser": "ann"}
    given = {"match": match, "serviceAccounts": ["shop/reviews", "*/reviews", "bank/x"]}
    found = judge("IdentityRegistration", given, namespace="shop").errors
    assert [problem.field for problem in found] == ["spec.serviceAccounts[1]", "spec.serviceAccounts[2]"]


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"namespace": "shop"}, "metadata.namespace"),
        ({"name": "unix"}, "metadata.name"),
        ({"name": "host"}, "metadata.name"),
    ],
)
def test_an_attestor_stands_in_the_root_namespace_and_speaks_for_itself(
    judge: Judge, metadata: dict[str, str], field: str
) -> None:
    found = judge("Attestor", {"type": "x509", "x509": {"roots": PEM}}, **metadata).errors
    assert [problem.field for problem in found] == [field]
