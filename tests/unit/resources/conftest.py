"""Objects of each kind, as small as they may be, to be changed by the tests."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from argosy.resources.kinds import KINDS
from argosy.resources.validation import Verdict, validate

Judge = Callable[..., Verdict]


@pytest.fixture(scope="session")
def judge() -> Judge:
    """judge("VirtualService", spec, …) -> Verdict: of an object of the kind of that unique name, in `shop`; who
    may be what, in the root namespace."""
    known = {kind.unique_name: kind for kind in KINDS}

    def of(kind: str, spec: Any, **metadata: Any) -> Verdict:
        found = known[kind]
        has_spec = any(field.name == "spec" for field in msgspec.structs.fields(found.struct))
        body = {"spec": spec} if has_spec else spec
        namespace = "istio-system" if found.group == "identity.argosy.dev" else "shop"
        meta = {"name": "foo"} | ({"namespace": namespace} if found.namespaced else {}) | metadata
        return validate({"apiVersion": found.api_version, "kind": found.kind, "metadata": meta} | body)

    return of
