"""Valid objects with many of their fields, to be damaged by random tests."""

from __future__ import annotations

from typing import Any

RICH: list[dict[str, Any]] = [
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "a", "namespace": "b", "labels": {"x": "y"}, "annotations": {"p/q": "r"}},
        "spec": {
            "hosts": ["a.com"],
            "gateways": ["mesh"],
            "exportTo": ["."],
            "http": [
                {
                    "match": [{"uri": {"prefix": "/"}, "headers": {"x": {"exact": "y"}}, "port": 80}],
                    "route": [
                        {"destination": {"host": "h", "port": {"number": 1}, "subset": "s"}, "weight": 1}
                    ],
                    "headers": {"request": {"set": {"a": "b"}, "remove": ["c"]}},
                    "retries": {"attempts": 1, "perTryTimeout": "1s", "retryOn": "5xx"},
                    "fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 1.0}}},
                    "corsPolicy": {"allowOrigins": [{"regex": "a.*"}], "maxAge": "1s"},
                    "rewrite": {"uriRegexRewrite": {"match": "a", "rewrite": "b"}},
                    "mirrors": [{"destination": {"host": "m"}}],
                    "timeout": "1s",
                },
                {"redirect": {"uri": "/x", "redirectCode": 302}, "match": [{"uri": {"exact": "/x"}}]},
            ],
            "tls": [{"match": [{"sniHosts": ["a.com"]}], "route": [{"destination": {"host": "h"}}]}],
            "tcp": [
                {"match": [{"destinationSubnets": ["10.0.0.0/8"]}], "route": [{"destination": {"host": "h"}}]}
            ],
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "host": "h",
            "subsets": [{"name": "v1", "labels": {"v": "1"}, "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}],
            "workloadSelector": {"matchLabels": {"a": "b"}},
            "trafficPolicy": {
                "loadBalancer": {
                    "consistentHash": {
                        "httpCookie": {"name": "c", "ttl": "1s"},
                        "maglev": {"tableSize": 65537},
                    },
                    "localityLbSetting": {"distribute": [{"from": "a/*", "to": {"b": 100}}]},
                    "warmup": {"duration": "1s", "minimumPercent": 1.5},
                },
                "connectionPool": {"tcp": {"tcpKeepalive": {"time": "1s"}}, "http": {"maxRetries": 1}},
                "outlierDetection": {"interval": "1s", "consecutive5xxErrors": 1},
                "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}],
                "tunnel": {"targetHost": "a", "targetPort": 1},
                "retryBudget": {"percent": 1},
            },
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "selector": {"a": "b"},
            "servers": [
                {
                    "hosts": ["./a.com"],
                    "port": {"number": 443, "name": "x", "protocol": "HTTPS"},
                    "tls": {
                        "mode": "SIMPLE",
                        "tlsCertificates": [{"serverCertificate": "a", "privateKey": "b"}],
                    },
                }
            ],
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "hosts": ["a.com"],
            "addresses": ["10.0.0.1"],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 1}],
            "resolution": "STATIC",
            "endpoints": [{"address": "1.1.1.1", "ports": {"http": 1}, "labels": {"a": "b"}}],
        },
    },
    {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {"80": {"mode": "STRICT"}}},
    },
    {
        "apiVersion": "identity.argosy.dev/v1",
        "kind": "IdentityRegistration",
        "metadata": {"name": "a"},
        "spec": {"match": {"unixUser": "a", "selectors": ["k8s:ns=a"]}, "serviceAccounts": ["*/*"]},
    },
    {
        "apiVersion": "identity.argosy.dev/v1",
        "kind": "Attestor",
        "metadata": {"name": "a", "namespace": "istio-system"},
        "spec": {
            "type": "jwt",
            "jwt": {"issuer": "https://a", "audiences": ["b"], "claims": [{"claim": "a", "key": "b"}]},
        },
    },
    {
        "apiVersion": "identity.argosy.dev/v1",
        "kind": "IssuingPolicy",
        "metadata": {"name": "a"},
        "spec": {"maxLifetime": "24h", "allow": ["*/*"], "deny": ["a/b"], "reason": "r"},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "a",
            "namespace": "b",
            "ownerReferences": [],
            "managedFields": [{"manager": "m"}],
        },
        "spec": {
            "ports": [{"port": 80, "name": "a", "targetPort": "x"}],
            "selector": {"a": "b"},
            "clusterIP": "None",
        },
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"a": "YQ=="}},
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio"},
        "data": {"mesh": "connectTimeout: 1s"},
    },
    {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "a", "namespace": "b", "annotations": {"istio.io/dry-run": "true"}},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "a"}],
            "action": "DENY",
            "rules": [
                {
                    "from": [{"source": {"serviceAccounts": ["a/b"], "ipBlocks": ["10.0.0.0/8"]}}],
                    "to": [{"operation": {"ports": ["80"], "paths": ["/{*}/a"]}}],
                    "when": [{"key": "request.headers[a]", "values": ["b"], "notValues": ["c"]}],
                }
            ],
        },
    },
    {
        "apiVersion": "security.istio.io/v1beta1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "jwtRules": [
                {
                    "issuer": "a",
                    "jwks": '{"kty": "OKP", "crv": "Ed25519", "x": "DlbvgllXeZkRygZlBw2NA1TmrCMAunRVWys2Rm0GbJg"}',
                    "fromHeaders": [{"name": "a", "prefix": "b "}],
                    "outputClaimToHeaders": [{"header": "a", "claim": "b.c"}],
                    "timeout": "1s",
                }
            ]
        },
    },
    {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "tracing": [{"customTags": {"a": {"literal": {"value": "b"}}}, "randomSamplingPercentage": 1.5}],
            "metrics": [{"overrides": [{"tagOverrides": {"a": {"value": "b"}}}], "reportingInterval": "5s"}],
        },
    },
    {
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "url": "oci://a/b",
            "pluginConfig": {"a": [1, None, {"b": "c"}]},
            "vmConfig": {"env": [{"name": "a", "value": "b"}]},
            "match": [{"mode": "CLIENT", "ports": [{"number": 80}]}],
        },
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "a:b"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        "aggregationRule": {
            "clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
        },
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "a", "namespace": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "b"}],
    },
    {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "a", "namespace": "b"},
        "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80, "name": "a"}]}],
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "a", "namespace": "b"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "a"}]}}],
        "ports": [{"name": "a", "port": 80, "appProtocol": "kubernetes.io/h2c"}],
    },
    {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "gatewayClassName": "a",
            "listeners": [
                {
                    "name": "a",
                    "port": 443,
                    "protocol": "HTTPS",
                    "hostname": "*.a.com",
                    "tls": {"certificateRefs": [{"name": "a"}], "options": {"a/b": "c"}},
                    "allowedRoutes": {
                        "namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}
                    },
                }
            ],
            "addresses": [{"type": "Hostname", "value": "a.com"}, {"value": "10.0.0.1"}],
            "infrastructure": {"labels": {"a": "b"}, "annotations": {"a/b": "c"}},
        },
        "status": {"conditions": [{"type": "Accepted", "status": "True"}]},
    },
    {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "parentRefs": [{"name": "a", "sectionName": "a", "port": 80}],
            "hostnames": ["*.a.com"],
            "rules": [
                {
                    "matches": [{"path": {"value": "/a"}, "headers": [{"name": "a", "value": "b"}]}],
                    "filters": [
                        {
                            "type": "URLRewrite",
                            "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
                        },
                        {"type": "CORS", "cors": {"allowOrigins": ["https://*.a.com:1"]}},
                    ],
                    "backendRefs": [{"name": "a", "port": 80, "weight": 2}],
                    "timeouts": {"request": "2s", "backendRequest": "1s"},
                }
            ],
        },
    },
    {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "BackendTLSPolicy",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": "a", "sectionName": "b"}],
            "validation": {
                "hostname": "a.com",
                "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "a"}],
                "subjectAltNames": [{"type": "URI", "uri": "spiffe://a/b"}],
            },
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "workloadSelector": {"labels": {"app": "a"}},
            "ingress": [
                {
                    "port": {"number": 443, "protocol": "HTTPS", "name": "https"},
                    "bind": "10.0.0.1",
                    "captureMode": "NONE",
                    "defaultEndpoint": "unix:///run/a",
                    "tls": {
                        "mode": "MUTUAL",
                        "serverCertificate": "/c",
                        "privateKey": "/k",
                        "caCertificates": "/a",
                    },
                    "connectionPool": {"http": {"maxRetries": 1}},
                }
            ],
            "egress": [
                {
                    "port": {"number": 0, "protocol": "TCP"},
                    "bind": "unix://@a",
                    "hosts": ["shop/a.com", "~/b.com"],
                },
                {"hosts": ["./*", "istio-system/*"]},
            ],
            "inboundConnectionPool": {"tcp": {"maxConnections": 1}},
            "outboundTrafficPolicy": {
                "mode": "ALLOW_ANY",
                "egressProxy": {"host": "a.com", "subset": "a", "port": {"number": 1}},
            },
        },
    },
    {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "workloadSelector": {"labels": {"app": "a"}},
            "priority": 1,
            "configPatches": [
                {
                    "applyTo": "HTTP_FILTER",
                    "match": {
                        "context": "SIDECAR_INBOUND",
                        "proxy": {"proxyVersion": "1.*", "metadata": {"a": "b"}},
                        "listener": {
                            "filterChain": {
                                "filter": {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "subFilter": {"name": "a"},
                                }
                            }
                        },
                    },
                    "patch": {
                        "operation": "INSERT_BEFORE",
                        "filterClass": "AUTHZ",
                        "value": {
                            "name": "a",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                                "dynamic_stats": True,
                                "upstreamHttpFilters": [
                                    {"name": "b", "configDiscovery": {"typeUrls": ["c"]}}
                                ],
                            },
                        },
                    },
                },
                {
                    "applyTo": "CLUSTER",
                    "match": {"context": "WAYPOINT", "waypoint": {"portNumber": 80}},
                    "patch": {
                        "operation": "MERGE",
                        "value": {
                            "connect_timeout": "500ms",
                            "circuit_breakers": {"thresholds": [{"max_connections": 1}]},
                            "metadata": {"filter_metadata": {"a": {"b": [1, None]}}},
                        },
                    },
                },
            ],
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
            "template": {"ports": {"http": 80}, "serviceAccount": "a", "weight": 1, "locality": "a/b"},
            "probe": {
                "periodSeconds": 1,
                "httpGet": {"port": 80, "scheme": "HTTP", "httpHeaders": [{"name": "a", "value": "b"}]},
            },
        },
    },
    {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "ProxyConfig",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "concurrency": 0,
            "environmentVariables": {"A": "b"},
            "image": {"imageType": "debug"},
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "address": "10.0.0.1",
            "ports": {"http": 8080},
            "labels": {"app": "a"},
            "network": "n",
            "locality": "a/b/c",
            "weight": 2,
            "serviceAccount": "a",
        },
    },
    {
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "TrafficExtension",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "phase": "AUTHN",
            "priority": -1,
            "match": [{"mode": "SERVER", "ports": [{"number": 80}]}],
            "lua": {"inlineCode": "function envoy_on_request(handle) end"},
        },
    },
]
