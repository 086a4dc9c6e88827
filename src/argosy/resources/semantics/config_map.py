"""ConfigMap: its keys; and where it is the mesh's own (`istio`), that its settings can be read.

# Istio: ConfigMap istio in the root namespace, key `mesh`
"""

from __future__ import annotations

from argosy.resources import meshconfig
from argosy.resources.core import ConfigMap
from argosy.resources.semantics import data
from argosy.resources.semantics.findings import Findings


def check(obj: ConfigMap, findings: Findings) -> None:
    data.check_keys("data", obj.data, findings)
    data.check_keys("binaryData", obj.binary_data, findings)
    for key in obj.data.keys() & obj.binary_data.keys():
        findings.error(f"binaryData[{key!r}]", "is also in data; keep one")
    if obj.metadata.name == meshconfig.CONFIG_MAP and meshconfig.KEY in obj.data:
        for problem in meshconfig.problems(obj.data[meshconfig.KEY]):
            findings.error(f"data[{meshconfig.KEY!r}].{problem.field}", problem.message)
