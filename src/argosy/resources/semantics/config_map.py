"""ConfigMap: its keys and size, and that an immutable one stays; where it is the mesh's own (`istio`), that its
settings can be read.

# Istio: ConfigMap istio in the root namespace, keys `mesh` and `meshNetworks`
"""

from __future__ import annotations

import base64

from argosy.resources import meshconfig
from argosy.resources.core import ConfigMap
from argosy.resources.semantics import data
from argosy.resources.semantics.findings import Findings


def check(obj: ConfigMap, findings: Findings) -> None:
    data.check_keys("data", obj.data, findings)
    data.check_keys("binaryData", obj.binary_data, findings)
    sizes = [len(value.encode()) for value in obj.data.values()]
    for key, value in obj.binary_data.items():
        try:
            sizes.append(len(base64.b64decode("".join(value.split()), validate=True)))
        except ValueError:
            findings.error(f"binaryData[{key!r}]", "is not base64; encode it, or use data")
    data.check_size(sum(sizes), findings)
    for key in obj.data.keys() & obj.binary_data.keys():
        findings.error(f"binaryData[{key!r}]", "is also in data; keep one")
    if obj.metadata.name == meshconfig.CONFIG_MAP:
        _settings(obj.data, findings)


def _settings(written: dict[str, str], findings: Findings) -> None:
    """Networks are not in force, so that what is wrong with them is no reason to refuse the settings beside them."""
    for key in (meshconfig.KEY, meshconfig.NETWORKS_KEY):
        if key not in written:
            continue
        found = meshconfig.judge(written[key], key)
        refuse = findings.error if key == meshconfig.KEY else findings.warn
        for problem in found.errors:
            refuse(_at(key, problem.field), problem.message)
        for problem in found.warnings:
            findings.warn(_at(key, problem.field), problem.message)


def _at(key: str, field: str) -> str:
    return f"data[{key!r}].{field}" if field else f"data[{key!r}]"


def check_change(old: ConfigMap, new: ConfigMap, findings: Findings) -> None:
    parts = {"data": (old.data, new.data), "binaryData": (old.binary_data, new.binary_data)}
    data.check_immutable(old.immutable, new.immutable, parts, findings)
