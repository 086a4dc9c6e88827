"""Random objects of any kind, with any of its fields, that the door (`resources.validation`) takes.

They are made from the kinds' own structs, so that a new field is tried from its first day; values come from pools by
the name of the field, odd ones among them. What the door names as wrong is cut out until the rest passes.
"""

from __future__ import annotations

import random
import re
from typing import Any

import msgspec
from msgspec import inspect

from argosy.resources import kinds
from argosy.resources.kind import Kind
from argosy.resources.networking import HTTPRoute
from argosy.resources.validation import validate

Json = dict[str, Any]

HOSTS = (
    "reviews",
    "ratings",
    "ratings.shop",
    "reviews.default.svc.cluster.local",
    "cache",
    "nobody",
    "api.example.com",
    "www.example.com",
    "*.example.com",
    "*.com",
    "*.default.svc.cluster.local",
    "*",
)
DURATIONS = ("1s", "10ms", "0s", "1.5s", "1h", "1h30m", "0.001s", "8760h", "2m")
PATHS = ("/", "/a", "/a/b", "", "/a b", "/é", "/%20", "/a?b=c", "x")
LABELS: tuple[dict[str, str], ...] = (
    {},
    {"app": "reviews"},
    {"version": "v1"},
    {"app": "reviews", "version": "v1"},
    {"app": "nobody"},
)
PORTS = (80, 81, 443, 9080, 9090, 6379, 1, 65535)
PROTOCOLS = (
    "HTTP",
    "HTTP2",
    "GRPC",
    "TCP",
    "TLS",
    "HTTPS",
    "MONGO",
    "MYSQL",
    "REDIS",
    "GRPC-WEB",
    "",
    "http",
)
HEADERS = (
    "x-a",
    "X-B",
    "host",
    "cookie",
    "te",
    "user-agent",
    "x_c",
    "accept-encoding",
    "content-type",
    ":authority",
    ":path",
    ":status",
    "x a",
    "é",
    "",
)
SUBNETS = ("10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "::1", "fe80::/10", "192.168.1.1/32")

POOLS: dict[str, tuple[Any, ...]] = {
    "host": HOSTS,
    "hosts": HOSTS,
    "sniHosts": HOSTS,
    "authority": ("a.com", "a.com:80", "reviews", ""),
    "gateways": ("mesh", "edge", "shop/edge"),
    "exportTo": (".", "*", "shop", "default"),
    "namespace": ("default", "shop"),
    "subset": ("v1", "v2", "none", ""),
    "sourceNamespace": ("default", "shop"),
    "sourceSubnet": SUBNETS,
    "destinationSubnets": SUBNETS,
    "scheme": ("http", "https"),
    "uri": PATHS,
    "prefixRewrite": PATHS,
    "exact": (*PATHS, "GET", "http"),
    "prefix": (*PATHS, "G"),
    "regex": ("a.*", ".*", "[a-z]+", "/x/(.*)", "^$", "(?i)x", ""),
    "match": ("/x/(.*)", "a", ".*"),
    "rewrite": (r"/y/\1", "b", "", r"\0"),
    "method": ("GET",),
    "redirectCode": (301, 302, 303, 307, 308, 0),
    "status": (200, 418, 503, 100, 599),
    "httpStatus": (200, 404, 503, 599),
    "grpcStatus": ("UNAVAILABLE", "OK", "INTERNAL", "14"),
    "retryOn": (
        "5xx",
        "5xx,503",
        "connect-failure,refused-stream",
        "gateway-error,retriable-4xx",
        "cancelled,unavailable",
        "reset,503,429",
        "",
    ),
    "attempts": (0, 1, 3, 100),
    "weight": (0, 1, 10, 50, 90, 100),
    "value": (0.0, 0.1, 12.5, 50.0, 100.0, 0.0001),
    "percent": (0, 20.0, 50, 100),
    "allowMethods": ("GET", "POST", "*"),
    "allowHeaders": HEADERS,
    "exposeHeaders": HEADERS,
    "remove": HEADERS,
    "allowOrigin": ("*", "https://a.com"),
    "bytes": ("aGVsbG8=", ""),
    "string": ("text", "", "é" * 20, "%"),
    "number": PORTS,
    "port": PORTS,
    "targetPort": PORTS,
    "protocol": PROTOCOLS,
    "bind": ("", "127.0.0.1", "0.0.0.0"),
    "labels": LABELS,
    "selector": LABELS,
    "matchLabels": LABELS,
    "sourceLabels": LABELS,
    "statPrefix": ("some", ""),
    "minimumRingSize": (1, 64, 1024, 8388608),
    "tableSize": (3, 101, 65537, 5000009),
    "maxConnections": (0, 1, 1024, 2147483647),
    "maxEjectionPercent": (0, 10, 100),
    "minHealthPercent": (0, 10, 50, 100),
    "minimumPercent": (0.0, 10.0, 50.0, 100.0),
    "aggression": (1.0, 1.5, 10.0),
    "sni": ("a.com", ""),
    "subjectAltNames": ("spiffe://cluster.local/ns/default/sa/x", "a.com"),
    "credentialName": ("secret", ""),
    "addresses": ("10.0.0.1", "10.0.0.2", "240.240.0.1", "10.9.0.0/16", "fe80::2"),
    "address": ("10.1.0.1", "10.1.0.2", "fe80::1", "api.example.com", "unix:///run/x.sock", ""),
    "locality": ("a/b/c", "a/b", "a", ""),
    "network": ("", "other"),
    "serviceAccount": ("", "reviews", "a.b"),
    "from": ("a/b/c", "a/b/*", "a/*", "*", "a"),
    "to": ("b", "a"),
    "failoverPriority": ("topology.istio.io/network", "version=v1"),
    "serverCertificate": ("",),
    "privateKey": ("",),
    "caCertificates": ("",),
    "clientCertificate": ("",),
    "caCrl": ("",),
    "tlsCertificates": ((),),
    "cipherSuites": ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    "externalName": ("www.example.com", ""),
    "appProtocol": ("", "http", "grpc", "kubernetes.io/h2c", "tcp"),
    "clusterIP": ("10.0.0.1", "None", "", "10.0.0.7"),
    "clusterIPs": ("10.0.0.1", "10.0.0.7"),
    "type": ("ClusterIP", "ExternalName"),
    "outlierDetectionHttpErrorCodes": (500, 503, 429),
    "targetHost": ("a.com", "10.0.0.1"),
    "http2Error": ("",),
    "delegate": ({},),
    "controllerName": ("example.net/controller",),
    "gatewayClassName": ("argosy", "other"),
    "group": ("", "", "gateway.networking.k8s.io"),
    "kind": ("Service", "Service", "Gateway", "HTTPRoute", "ConfigMap"),
    "sectionName": ("a", "http"),
    "hostname": ("a.example.com", "*.example.com"),
    "hostnames": ("a.example.com", "*.example.com"),
    "wellKnownCACertificates": ("System",),
}
"""Certificates by file are left out: Envoy reads the files."""
ALWAYS = frozenset(
    ("hosts", "http", "servers", "number", "host", "ports", "selector", "mtls", "address", "protocol", "name")
)
ACTIONS = ("route", "route", "route", "redirect", "directResponse")
KEYS: dict[str, tuple[str, ...]] = {
    "headers": HEADERS, "withoutHeaders": HEADERS, "queryParams": ("q", "r", "a b"), "set": HEADERS, "add": HEADERS,
    "to": ("a", "a/b", "b/*"), "ports": ("http", "p80", "tcp"), "portLevelMtls": ("80", "9080", "6379"),
}  # fmt: skip
DURATION = re.compile(
    r".*(Timeout|Delay|Interval|Duration|Time|interval|timeout|ttl|time|duration|backoff|maxAge)$"
)
INTEGERS = (0, 1, 5, 100, 65535, 2147483647, 4294967295, -1)
WORDS = ("a", "b", "v1", "http", "x-y", "", "a b", "é", "a\nb", "a\0b", "%", "%START_TIME%", "x" * 300)

WEIGHTS = {
    "VirtualService": 6.0,
    "DestinationRule": 4.0,
    "Gateway": 2.0,
    "ServiceEntry": 3.0,
    "WorkloadEntry": 2.0,
    "Service": 2.0,
    "PeerAuthentication": 1.0,
}
"""By `Kind.unique_name`: those that traffic depends on. Every other kind of the mesh comes now and then."""
KINDS = tuple(
    (kind, WEIGHTS.get(kind.unique_name, 0.15))
    for kind in kinds.KINDS
    if kind.unique_name in WEIGHTS or kind.group.endswith((".istio.io", "gateway.networking.k8s.io"))
)
ROUNDS = 25


def objects(chance: random.Random, number: int) -> list[Json]:
    """`number` objects that are valid; those of one kind and name replace each other."""
    found: dict[tuple[str, str, str], Json] = {}
    of, weights = zip(*KINDS, strict=True)
    while len(found) < number:
        kind = chance.choices(of, weights)[0]
        name, namespace = (
            f"o{chance.randrange(6)}",
            chance.choice(("default", "default", "shop", "istio-system")),
        )
        if (obj := valid(chance, kind, name, namespace)) is not None:
            found[kind.unique_name, namespace, name] = obj
    return list(found.values())


def valid(chance: random.Random, kind: Kind, name: str, namespace: str) -> Json | None:
    """None where nothing valid comes of it."""
    info = inspect.type_info(kind.struct)
    assert isinstance(info, inspect.StructType)
    spec = next(field for field in info.fields if field.encode_name == "spec")
    obj: Json = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name} | ({"namespace": namespace} if kind.namespaced else {}),
        "spec": some(chance, spec.type, "spec"),
    }
    for _ in range(ROUNDS):
        verdict = validate(obj)
        if verdict.valid:
            return obj
        if not any([cut(obj, problem.field) for problem in verdict.errors]):
            return None
    return None


def cut(obj: Json, path: str) -> bool:
    """Takes out what a path like `spec.http[1].route[0].weight` names, or what holds it; the spec itself stays."""
    steps = [int(number) if number else word for word, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]
    at: Any = obj
    trail: list[tuple[Any, Any]] = []
    for step in steps:
        inside = (isinstance(at, dict) and step in at) or (
            isinstance(at, list) and isinstance(step, int) and step < len(at)
        )
        if not inside:
            break
        trail.append((at, step))
        at = at[step]
    if len(trail) < 2:
        return False
    holder, step = trail[-1]
    del holder[step]
    return True


def some(chance: random.Random, kind: inspect.Type, name: str) -> Any:
    """A value of that type for a field of that name."""
    match kind:
        case inspect.Metadata():
            return some(chance, kind.type, name)
        case inspect.LiteralType():
            return chance.choice(list(kind.values))
        case inspect.StructType():
            return structure(chance, kind, 0.5 if name == "spec" else 0.3)
        case inspect.UnionType():
            return some(
                chance,
                chance.choice([one for one in kind.types if not isinstance(one, inspect.NoneType)]),
                name,
            )
        case inspect.VarTupleType() | inspect.ListType():
            return [some(chance, kind.item_type, name) for _ in range(chance.choice((1, 1, 2, 3)))]
        case inspect.DictType():
            if all(isinstance(one, dict) for one in POOLS.get(name, ("",))):
                return dict(chance.choice(POOLS[name]))
            keys = chance.sample(KEYS.get(name, HEADERS), chance.choice((0, 1, 2)))
            return {key: some(chance, kind.value_type, "") for key in keys}
        case inspect.EnumType():
            return chance.choice(list(kind.cls)).value
        case inspect.BoolType():
            return chance.random() < 0.5
        case inspect.IntType():
            return chance.choice([one for one in POOLS.get(name, ()) if isinstance(one, int)] or INTEGERS)
        case inspect.FloatType():
            return chance.choice(POOLS.get(name, (0.0, 1.0, 50.0)))
        case inspect.StrType():
            if DURATION.fullmatch(name):
                return chance.choice(DURATIONS)
            return chance.choice([one for one in POOLS.get(name, WORDS) if isinstance(one, str)] or WORDS)
        case _:
            return {}


def structure(chance: random.Random, kind: inspect.StructType, share: float) -> Json:
    """An object of that struct, each field that may be left out with the chance `share`."""
    wanted = {field.encode_name for field in kind.fields if field.required or chance.random() < share}
    if kind.cls is HTTPRoute:
        wanted = wanted.difference(ACTIONS, ("delegate",)) | {chance.choice(ACTIONS)}
    return {
        field.encode_name: some(chance, field.type, field.encode_name)
        for field in kind.fields
        if field.encode_name in wanted or field.encode_name in ALWAYS
    }


def written(found: list[Json]) -> str:
    """For people: one object a line."""
    return "\n".join(msgspec.json.encode(one).decode() for one in found)
