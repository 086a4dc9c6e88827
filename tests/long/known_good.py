"""Objects that the API takes, of every kind that it serves: what the fuzz of the API damages, and what it builds on.

Plain ones stand here and in `tests/unit/resources/rich.py`; `any_object` makes others of the kinds that it can make.
"""

from __future__ import annotations

import copy
import random
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import CertificateSigningRequestBuilder, Name
from msgspec import inspect

from argosy.resources.kinds import SERVED, Kind, kind_of
from argosy.resources.validation import validate
from tests.long import any_object
from tests.unit.resources.rich import RICH

Json = dict[str, Any]

CREATED = tuple(kind for kind in SERVED if not kind.read_only)
"""Kinds of which a POST may be answered with 201."""
ROOT_ALONE = frozenset(("Attestor",))
"""Kinds whose objects stand in the root namespace alone."""
KEPT = tuple(kind for kind in CREATED if not kind.virtual)
"""Kinds of which there are objects."""
NAMESPACE, USER = (next(kind for kind in KEPT if kind.unique_name == name) for name in ("Namespace", "User"))
SOMEBODY = "fuzz-user"
"""A User that is there, for a ClientCertificate to be for."""
LABELS: tuple[dict[str, str], ...] = (
    {},
    {"app": "reviews"},
    {"app": "ratings", "tier": "a"},
    {"tier": "b"},
    {"a": "b"},
)


def _request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    asked = CertificateSigningRequestBuilder().subject_name(Name([])).sign(key, hashes.SHA256())
    return asked.public_bytes(serialization.Encoding.PEM).decode()


_NAMED = frozenset(("apiVersion", "kind", "metadata"))
_GATEWAY = {"name": "edge", "sectionName": "a"}
_BACKEND = {"name": "reviews", "port": 80}
_REVIEWED: Json = {"verb": "get", "resource": "services", "namespace": "shop"}
PLAIN: dict[str, Json] = {
    "Namespace": {},
    "ServiceAccount": {"automountServiceAccountToken": False},
    "Ingress": {
        "spec": {
            "ingressClassName": "istio",
            "rules": [
                {
                    "host": "shop.example",
                    "http": {
                        "paths": [
                            {
                                "path": "/cart",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "cart", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ],
            "tls": [{"hosts": ["shop.example"], "secretName": "shop"}],
        }
    },
    "Event": {
        "involvedObject": {"kind": "Service", "apiVersion": "v1", "name": "reviews", "namespace": "shop"},
        "reason": "Looked",
        "message": "somebody has looked",
        "type": "Normal",
        "source": {"component": "fuzz"},
        "count": 1,
    },
    "Role": {"rules": [{"apiGroups": ["", "networking.istio.io"], "resources": ["*"], "verbs": ["get", "list"]}]},
    "ClusterRoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}],
    },
    "SelfSubjectReview": {},
    "SelfSubjectAccessReview": {"spec": {"resourceAttributes": _REVIEWED}},
    "SelfSubjectRulesReview": {"spec": {"namespace": "shop"}},
    "SubjectAccessReview": {"spec": {"resourceAttributes": _REVIEWED, "user": "ann", "groups": ["devs"]}},
    "GatewayClass.gateway.networking.k8s.io": {"spec": {"controllerName": "argosy.dev/gateway", "description": "x"}},
    "ListenerSet.gateway.networking.k8s.io": {
        "spec": {
            "parentRef": {"name": "edge"},
            "listeners": [{"name": "a", "port": 8080, "protocol": "HTTP", "hostname": "a.example.com"}],
        }
    },
    "GRPCRoute.gateway.networking.k8s.io": {
        "spec": {
            "parentRefs": [_GATEWAY],
            "hostnames": ["a.example.com"],
            "rules": [{"matches": [{"method": {"service": "a.B", "method": "C"}}], "backendRefs": [_BACKEND]}],
        }
    },
    "TLSRoute.gateway.networking.k8s.io": {
        "spec": {"parentRefs": [_GATEWAY], "hostnames": ["a.example.com"], "rules": [{"backendRefs": [_BACKEND]}]}
    },
    "TCPRoute.gateway.networking.k8s.io": {
        "spec": {"parentRefs": [_GATEWAY], "rules": [{"backendRefs": [_BACKEND]}]}
    },
    "UDPRoute.gateway.networking.k8s.io": {
        "spec": {"parentRefs": [_GATEWAY], "rules": [{"backendRefs": [_BACKEND]}]}
    },
    "ReferenceGrant.gateway.networking.k8s.io": {
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "default"}],
            "to": [{"group": "", "kind": "Service"}],
        }
    },
    "User": {"spec": {"groups": ["devs"], "tokens": [{"sha256": "0" * 64}]}},
    "ClientCertificate": {"spec": {"user": SOMEBODY, "request": _request(), "expirationSeconds": 3600}},
}  # fmt: skip
"""By `Kind.unique_name`: all but what names the object."""
for _one in RICH:
    _kind = kind_of(_one["apiVersion"], _one["kind"])
    assert _kind is not None
    PLAIN.setdefault(_kind.unique_name, {k: v for k, v in _one.items() if k not in _NAMED})


def plain(kind: Kind, api_version: str, namespace: str, name: str) -> Json:
    metadata = {"name": name} | ({"namespace": namespace} if namespace and kind.namespaced else {})
    head = {"apiVersion": api_version, "kind": kind.kind, "metadata": metadata}
    found: Json = head | copy.deepcopy(PLAIN[kind.unique_name])
    if "involvedObject" in found:  # an event is where its object is
        found["involvedObject"]["namespace"] = namespace
    if kind.unique_name == "IdentityRegistration":  # gives accounts of its own namespace
        found["spec"]["serviceAccounts"] = [f"{namespace}/reviews"]
    return found


def some(dice: random.Random, kind: Kind, api_version: str, namespace: str, name: str) -> Json:
    """The plain one, or another that is valid; with labels."""
    found = plain(kind, api_version, namespace, name)
    if "spec" in found and not kind.virtual and dice.random() < 0.5:
        other = any_object.of_kind(dice, kind, name, namespace)
        found |= {"spec": other["spec"]} if other else {}
    if labels := dice.choice(LABELS):
        found["metadata"]["labels"] = dict(labels)
    return found


def status(dice: random.Random, kind: Kind, obj: Json) -> Json:
    """A status that the object may have; {} where its kind has none, or none comes of it."""
    info = inspect.type_info(kind.struct)
    assert isinstance(info, inspect.StructType)
    field = next((each for each in info.fields if each.encode_name == "status"), None)
    if field is None:
        return {}
    tried: Json = obj | {"status": any_object.some(dice, field.type, "spec")}
    for _ in range(any_object.ROUNDS):
        wrong = [each.field for each in validate(tried).errors if each.field.startswith("status.")]
        if not wrong:
            return dict(tried["status"])
        if not any([any_object.cut(tried, path) for path in wrong]):
            break
    return {}
