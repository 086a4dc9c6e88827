"""Values for fields by their names, odd ones among them: `any_object` draws from them."""

from __future__ import annotations

import re
from typing import Any

HOSTS = (
    "reviews",
    "inventory",
    "httpbin.org",
    "placed.example",
    "db.example",
    "shop.example",
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
    {"istio": "ingressgateway"},
    {"app": "reviews"},
    {"version": "v1"},
    {"app": "reviews", "version": "v1"},
    {"app": "nobody"},
)
PORTS = (80, 81, 443, 9080, 9090, 6379, 6380, 9000, 9443, 1, 65535)
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
CREDENTIALS = ("cred", "a", "b", "ca", "nobody", "")
"""Of Secrets: see `any_secret`."""
CERTIFICATE, KEY, AUTHORITIES, REVOKED = "/c.pem", "/k.pem", "/ca.pem", "/crl.pem"
"""Paths on the proxy's host. It asks for them by name, so nothing reads them here."""
SUBNETS = ("10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "::1", "fe80::/10", "192.168.1.1/32")

VIRTUAL_HOSTS = ("reviews.default.svc.cluster.local:9080", "shop.example:80", "allow_any")
FILTERS = ("envoy.filters.network.http_connection_manager", "envoy.filters.network.tcp_proxy")

POOLS: dict[str, tuple[Any, ...]] = {
    "host": HOSTS,
    "hosts": HOSTS,
    "sniHosts": HOSTS,
    "authority": ("a.com", "a.com:80", "reviews", ""),
    "gateways": ("mesh", "edge", "default/edge", "shop/edge"),
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
    "bind": ("", "127.0.0.1", "0.0.0.0", "127.0.0.2"),
    "defaultEndpoint": ("127.0.0.1:8080", "0.0.0.0:9", "unix:///run/x.sock"),
    "labels": (*LABELS, {"app": "reviews", "security.istio.io/tlsMode": "istio"}),
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
    "credentialName": CREDENTIALS,
    "credentialNames": CREDENTIALS,
    "secretName": CREDENTIALS,
    "caCertCredentialName": ("ca",),
    "addresses": ("10.0.0.1", "10.0.0.2", "240.240.0.1", "10.9.0.0/16", "fe80::2"),
    "address": ("10.1.0.1", "10.1.0.2", "fe80::1", "api.example.com", "unix:///run/x.sock", ""),
    "locality": ("a/b/c", "a/b", "a", ""),
    "network": ("", "other"),
    "serviceAccount": ("", "reviews", "a.b"),
    "from": ("a/b/c", "a/b/*", "a/*", "*", "a"),
    "to": ("b", "a"),
    "failoverPriority": ("topology.istio.io/network", "version=v1"),
    "serverCertificate": ("", CERTIFICATE),
    "privateKey": ("", KEY),
    "caCertificates": ("", AUTHORITIES),
    "clientCertificate": ("", CERTIFICATE),
    "caCrl": ("", REVOKED),
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
    "ip": ("10.1.2.1", "10.1.2.2", "fe80::3"),
    "expression": ("response.code >= 400", "true", "connection.mtls", "response.code =="),
    "environment": ("HOME", ""),
    "portName": ("http", "tls"),
    "applicationProtocols": ("h2", "http/1.0,h2c"),
    "transportProtocol": ("tls", "raw_buffer"),
    "proxyVersion": (r"^1\.", ".*"),
    "listenerFilter": ("envoy.filters.listener.tls_inspector", "envoy.filters.listener.original_dst"),
    "vhost": VIRTUAL_HOSTS,
    "domainName": HOSTS,
    "filter": FILTERS,
    "subFilter": ("envoy.filters.http.router", "envoy.filters.http.cors", "istio.stats"),
    "cluster": ("outbound|9080||reviews.default.svc.cluster.local", "PassthroughCluster"),
    "listener": ("virtualInbound", "virtualOutbound", "0.0.0.0_80", "outbound_proxy"),
    "routeConfiguration": ("http.80", "9080", "http_proxy"),
    "zone": ("z1", ""),
    "path": ("/in", "/", "", "x"),
    "pathType": ("Exact", "Prefix", "ImplementationSpecific"),
    "ingressClassName": ("istio", "other"),
    "providers": ("file", "otel", "zipkin", "envoy", "nobody"),
    "accessLogFormat": ("[%START_TIME%]", "%", "%NOBODY%", '{"a": "%PROTOCOL%"}'),
    "accessLogFile": ("/dev/stdout", ""),
    "wellKnownCACertificates": ("System",),
}
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
WORDS = (
    "a",
    "b",
    "v1",
    "http",
    "x-y",
    "",
    "a b",
    "é",
    "a\nb",
    "a\0b",
    "%",
    "%START_TIME%",
    "%NOBODY%",
    "x" * 300,
)

PARTS: dict[str, tuple[Any, ...]] = {
    "value": ({"connect_timeout": "9s"}, {"name": "x"}),
    "defaultConfig": (
        {"tracing": {"sampling": 50, "maxPathTagLength": 100}},
        {"gatewayTopology": {"numTrustedProxies": 2}},
        {"proxyHeaders": {"server": {"value": "x"}}},
    ),
    "extensionProviders": (
        {"name": "file", "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {"labels": {"a": "%PROTOCOL%"}}}},
        {"name": "otel", "opentelemetry": {"service": "inventory.default.svc.cluster.local", "port": 9090}},
        {"name": "zipkin", "zipkin": {"service": "default/inventory.default.svc.cluster.local", "port": 9090}},
        {"name": "nobody", "zipkin": {"service": "nobody.example", "port": 1}},
    ),
    "discoverySelectors": ({"matchLabels": {"a": "b"}},),
    "serviceSettings": ({"settings": {"clusterLocal": True}, "hosts": ["*"]},),
}  # fmt: skip
"""Fields that hold whatever another API defines."""

_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_LUA = {
    "name": "lua",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": "function envoy_on_request(handle) end"},
    },
}
_TCP_PROXY = {
    "name": "envoy.filters.network.tcp_proxy",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "patched",
        "cluster": "PassthroughCluster",
    },
}
_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_ANSWER = {"match": {"prefix": "/patched"}, "direct_response": {"status": 418}}
_INSERT = ("ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST")

PATCHES: dict[str, tuple[tuple[tuple[str, ...], Any], ...]] = {
    # applyTo: (operations, value) that leave a configuration whole wherever they are applied
    "CLUSTER": (
        (("MERGE",), {"connect_timeout": "9s"}),
        (("MERGE",), {"circuit_breakers": {"thresholds": [{"max_connections": 3}]}}),
        (("MERGE",), {"upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 7}}}),
        (("ADD",), {"name": "patched", "type": "STATIC", "connect_timeout": "1s"}),
    ),
    "LISTENER": (
        (("MERGE",), {"per_connection_buffer_limit_bytes": 65536}),
        (("MERGE",), {"traffic_direction": "OUTBOUND"}),
        (("ADD",), {"name": "patched", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}},
                    "filter_chains": [{"filters": [_TCP_PROXY]}]}),
    ),
    "LISTENER_FILTER": (
        (("REMOVE",), None),
        (_INSERT, {"name": "envoy.filters.listener.proxy_protocol", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"}}),
    ),
    "FILTER_CHAIN": (
        (("MERGE",), {"transport_socket_connect_timeout": "9s"}),
        (("ADD",), {"name": "patched", "filter_chain_match": {"server_names": ["patched.example"]},
                    "filters": [_TCP_PROXY]}),
    ),
    "NETWORK_FILTER": (
        (("MERGE",), {"typed_config": {"@type": _MANAGER, "stream_idle_timeout": "7s"}}),
        (("INSERT_FIRST", "INSERT_BEFORE"), {"name": "limit", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "patched", "token_bucket": {"max_tokens": 1000, "fill_interval": "1s"}}}),
    ),
    "HTTP_FILTER": (
        (("INSERT_BEFORE", "INSERT_FIRST", "ADD"), _LUA),
        (("MERGE",), {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER, "dynamic_stats": False}}),
        (("ADD",), {"name": "authn", "disabled": True, "typed_config": _LUA["typed_config"]}),
    ),
    "ROUTE_CONFIGURATION": ((("MERGE",), {"request_headers_to_remove": ["x-patched"]}),),
    "VIRTUAL_HOST": (
        (("MERGE",), {"request_headers_to_remove": ["x-patched"]}),
        (_INSERT, {"name": "patched", "domains": ["patched.example"], "routes": [_ANSWER]}),
        (("REMOVE",), None),
    ),
    "HTTP_ROUTE": (
        (("MERGE",), {"request_headers_to_remove": ["x-patched"]}),
        (_INSERT, _ANSWER),
        (("REMOVE",), None),
    ),
    "EXTENSION_CONFIG": ((("ADD",), {"name": "patched", "typed_config": _LUA["typed_config"]}),),
    "BOOTSTRAP": ((("MERGE",), {"stats_flush_interval": "9s"}),),
}  # fmt: skip
