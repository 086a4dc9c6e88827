"""Data of Secrets and ConfigMaps: keys become file names, the size is bounded, and what is immutable stays.

# Kubernetes: IsConfigMapKey, ValidateSecretUpdate, ValidateConfigMapUpdate
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

MAX_BYTES = 1024 * 1024
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def check_keys(path: str, keys: Iterable[str], findings: Findings) -> None:
    for key in keys:
        if not _KEY.fullmatch(key) or key in (".", ".."):
            findings.error(path, f"{names.shown(key)} is not a key; use letters, digits, '-', '_' and '.'")


def check_size(size: int, findings: Findings) -> None:
    if size > MAX_BYTES:
        findings.error("data", f"has {size} bytes in all; at most {MAX_BYTES} are allowed")


def check_immutable(
    old: bool | None, new: bool | None, parts: Mapping[str, tuple[object, object]], findings: Findings
) -> None:
    """`parts`: field -> what it was and what it is to be."""
    if not old:
        return
    if not new:
        findings.error("immutable", "is true, and cannot be taken back; delete the object and create another")
    for field, (before, after) in parts.items():
        if before != after:
            findings.error(field, "cannot be changed: the object is immutable; delete it and create another")
