"""The roles that a mesh begins with: objects like all others, written once and anybody's to change.

    argosy:viewer               sees the mesh, everywhere or in a namespace; no Secrets, nothing about access
    argosy:service-developer    changes the routes and policies of one namespace, by a RoleBinding there
    argosy:operator             runs the mesh: all of its kinds, Secrets, namespaces; nothing about access
    argosy:admin                everything

Members of the groups argosy:viewers, argosy:operators and argosy:admins have the role everywhere.
"""

from __future__ import annotations

from typing import Any

from argosy.resources import elsewhere, rbac, reviews
from argosy.store.base import Key

Json = dict[str, Any]

VIEWER, DEVELOPER, OPERATOR, ADMIN = (
    "argosy:viewer",
    "argosy:service-developer",
    "argosy:operator",
    "argosy:admin",
)
GROUPS = {"argosy:viewers": VIEWER, "argosy:operators": OPERATOR, "argosy:admins": ADMIN}

_READ = ["get", "list", "watch"]
_WRITE = ["create", "update", "patch", "delete", "deletecollection"]
_ALL = [*_READ, *_WRITE]
_OPERATIONS = "operations.argosy.dev"
_MESH = [
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "gateway.networking.k8s.io",
]
_CORE = ["services", "configmaps", "serviceaccounts", "endpoints", "events"]
_CRDS = "apiextensions.k8s.io"
_SLICES = "discovery.k8s.io"
_INGRESS = "networking.k8s.io"
"""As Gateways: which hosts the edge serves, and with which certificates, is an operator's to say."""
_IDENTITY = "identity.argosy.dev"


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Json:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


_ELSEWHERE = _rule(
    sorted({kind.group for kind in elsewhere.KINDS}), [kind.plural for kind in elsewhere.KINDS], _READ
)
"""Always empty; who may see the mesh may ask, as `kubectl apply --prune` does."""
_SEE = [
    _rule([""], ["namespaces", *_CORE], _READ),
    _rule([_SLICES], ["endpointslices"], _READ),
    _rule([_INGRESS], ["ingresses"], _READ),
    _rule(["", *_MESH, _IDENTITY], ["*/status"], ["get"]),
    _rule(_MESH, ["*"], _READ),
    _rule([_OPERATIONS], ["*"], ["get"]),
    _ELSEWHERE,
]
ROLES: dict[str, list[Json]] = {
    VIEWER: [*_SEE, _rule([_CRDS], ["customresourcedefinitions"], _READ), _rule([_IDENTITY], ["*"], _READ)],
    DEVELOPER: [
        *_SEE,
        _rule([""], ["services", "configmaps", "serviceaccounts", "endpoints"], _WRITE),
        _rule(
            ["networking.istio.io"],
            [
                "virtualservices",
                "destinationrules",
                "serviceentries",
                "sidecars",
                "workloadentries",
                "workloadgroups",
                "proxyconfigs",
            ],
            _WRITE,
        ),
        _rule(
            ["gateway.networking.k8s.io"],
            ["httproutes", "grpcroutes", "tcproutes", "tlsroutes", "referencegrants", "backendtlspolicies"],
            _WRITE,
        ),
        # By name: * would be their status, too, which is the mesh's to write.
        _rule(
            ["security.istio.io"],
            ["authorizationpolicies", "peerauthentications", "requestauthentications"],
            _WRITE,
        ),
        _rule(["telemetry.istio.io"], ["telemetries"], _WRITE),
    ],
    OPERATOR: [
        _rule([""], ["namespaces", "secrets", *_CORE], _ALL),
        _rule([_SLICES], ["endpointslices"], _ALL),
        _rule([_INGRESS], ["ingresses"], _ALL),
        _rule([*_MESH, _IDENTITY], ["*"], _ALL),
        _rule([""], ["*/status"], ["get", "update", "patch"]),
        _rule([_CRDS], ["customresourcedefinitions"], _READ),
        _rule([rbac.GROUP], ["*"], _READ),
        _ELSEWHERE,
        _rule([_OPERATIONS], ["*"], ["get"]),
    ],
    ADMIN: [
        _rule(["*"], ["*"], ["*"]),
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "system:discovery": [
        {
            "nonResourceURLs": [
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ],
            "verbs": ["get"],
        }
    ],
    "system:basic-user": [
        _rule(
            [reviews.AUTHORIZATION],
            ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            ["create"],
        ),
        _rule([reviews.AUTHENTICATION], ["selfsubjectreviews"], ["create"]),
    ],
}
_BOUND = {
    "system:discovery": "system:authenticated",
    "system:basic-user": "system:authenticated",
    **{group: group for group in GROUPS},
}


def objects() -> tuple[tuple[Key, Json], ...]:
    """All of them, with their keys."""
    roles = [_object("ClusterRole", name, rules=rules) for name, rules in ROLES.items()]
    bindings = [
        _object(
            "ClusterRoleBinding",
            name,
            roleRef={"apiGroup": rbac.GROUP, "kind": "ClusterRole", "name": GROUPS.get(name, name)},
            subjects=[{"kind": "Group", "name": group, "apiGroup": rbac.GROUP}],
        )
        for name, group in _BOUND.items()
    ]
    return (*roles, *bindings)


def _object(kind: str, name: str, **rest: Any) -> tuple[Key, Json]:
    body = {"apiVersion": f"{rbac.GROUP}/v1", "kind": kind, "metadata": {"name": name}, **rest}
    return Key(f"{rbac.GROUP}/{kind.lower()}s", "", name), body
