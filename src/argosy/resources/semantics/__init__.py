"""What a schema cannot say: the rules of Istio's webhook and of its CRDs, per kind.

Each module `semantics/<kind>.py` has one function `check(obj, findings)` over the typed object. It reports; it never
raises. Modules are imported when the first object of their kind is checked, so that starting the CLI stays quick.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from argosy.resources.kinds import Kind
from argosy.resources.semantics.findings import Findings

Check = Callable[[Any, Findings], None]

_MODULES = {
    "/namespaces": "namespace",
    "/services": "service",
    "/secrets": "secret",
    "/configmaps": "config_map",
    "networking.istio.io/virtualservices": "virtual_service",
    "networking.istio.io/destinationrules": "destination_rule",
    "networking.istio.io/gateways": "gateway",
    "networking.istio.io/serviceentries": "service_entry",
    "networking.istio.io/workloadentries": "workload_entry",
    "security.istio.io/peerauthentications": "peer_authentication",
    "identity.argosy.dev/identityregistrations": "identity_registration",
}


@cache
def check_of(kind: Kind) -> Check:
    module = import_module(f"{__name__}.{_MODULES[kind.resource]}")
    check: Check = module.check
    return check
