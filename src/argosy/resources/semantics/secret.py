"""Secret: keys are file names, values base64. No message shows a value."""

from __future__ import annotations

import base64

from argosy.resources.core import Secret
from argosy.resources.semantics import data
from argosy.resources.semantics.findings import Findings


def check(obj: Secret, findings: Findings) -> None:
    data.check_keys("data", obj.data, findings)
    data.check_keys("stringData", obj.string_data, findings)
    for key, value in obj.data.items():
        try:
            base64.b64decode("".join(value.split()), validate=True)
        except ValueError:
            findings.error(f"data[{key!r}]", "is not base64; encode it, or use stringData")
