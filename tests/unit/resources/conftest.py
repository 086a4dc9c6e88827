"""Objects of each kind, as small as they may be, to be changed by the tests."""

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict, validate

Judge = Callable[..., Verdict]


@pytest.fixture(scope="session")
def judge() -> Judge:
    """judge("VirtualService", spec, …) -> Verdict: of an object of that kind in namespace `shop`."""
    groups = {"PeerAuthentication": "security.istio.io/v1", "IdentityRegistration": "identity.argosy.dev/v1"}
    core = ("Service", "Secret", "ConfigMap", "Namespace")

    def of(kind: str, spec: Any, **metadata: Any) -> Verdict:
        api_version = "v1" if kind in core else groups.get(kind, "networking.istio.io/v1")
        body = spec if kind in ("Secret", "ConfigMap") else {"spec": spec}
        meta = {"name": "foo"} | ({} if kind == "Namespace" else {"namespace": "shop"}) | metadata
        return validate({"apiVersion": api_version, "kind": kind, "metadata": meta} | body)

    return of
