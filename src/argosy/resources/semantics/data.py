"""Keys of Secrets and ConfigMaps: they become file names.

# Kubernetes: IsConfigMapKey
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def check_keys(path: str, keys: Iterable[str], findings: Findings) -> None:
    for key in keys:
        if not _KEY.fullmatch(key) or key in (".", ".."):
            findings.error(path, f"{names.shown(key)} is not a key; use letters, digits, '-', '_' and '.'")
