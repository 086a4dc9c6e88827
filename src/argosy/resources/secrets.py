"""What becomes of a Secret when it is written: plain text moves into the data, as in Kubernetes.

# Kubernetes: core/v1 Secret.stringData: write-only
"""

from __future__ import annotations

import base64
from typing import Any

from argosy.resources.kind import Kind

Json = dict[str, Any]

SECRETS = "/secrets"


def folded(kind: Kind, obj: Json) -> Json:
    """The object with its stringData as part of its data; any other object, and one that validation will refuse, as
    it is."""
    if kind.resource != SECRETS or "stringData" not in obj:
        return obj
    plain, data = obj["stringData"] or {}, obj.get("data") or {}
    if not isinstance(plain, dict) or not isinstance(data, dict):
        return obj
    if not all(map(_encodes, plain.values())):
        return obj
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    return rest | ({"data": data | encoded} if data or encoded else {})


def _encodes(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
