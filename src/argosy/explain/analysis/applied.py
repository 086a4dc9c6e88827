"""What an object that is being applied says that fits nothing else in the mesh, or has no effect: accepted, because the
other part may come later, but told. The rules of `argosy analyze`, as far as they can be asked of the running mesh.

* Each warning names the field, the value, the remedy and the code; it is about the object as written and the Snapshot
  as it is, whether or not the Snapshot already holds the object.
* One warning a field: what follows from the first is not said. What is merely of interest (Info) is not said either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from argosy.explain.analysis import annotated, destination_rules, envoy_filters, services, virtual_services
from argosy.explain.analysis.catalogue import Level
from argosy.explain.analysis.facts import Facts, SnapshotFacts
from argosy.explain.analysis.message import Finding, suppressed
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import Item, item
from argosy.model import lower_mesh
from argosy.model.errors import LoweringError
from argosy.model.snapshot import Snapshot
from argosy.resources.core import ConfigMap
from argosy.resources.kinds import decode

Rule = Callable[[Facts, Item], Iterator[Finding]]
Warned = tuple[str, str]
"""(field, message)."""

RULES: Mapping[str, tuple[Rule, ...]] = {
    "VirtualService": virtual_services.RULES,
    "DestinationRule": destination_rules.RULES,
    "EnvoyFilter": (envoy_filters.own_patches,),
    "Service": (services.ports_named, annotated.of_object),
    "Namespace": (annotated.of_object,),
}


def warnings(snapshot: Snapshot, body: Json) -> tuple[Warned, ...]:
    """In the order of the rules; () where everything fits or nothing is asked of the kind."""
    applied = item(body)
    if applied is None:
        return ()
    if applied.kind == "ConfigMap":
        return tuple(_mesh_settings(snapshot, applied))
    facts = SnapshotFacts(snapshot)
    return tuple(_told(each for rule in RULES.get(applied.kind, ()) for each in rule(facts, applied)))


def _told(findings: Iterable[Finding]) -> Iterator[Warned]:
    fields = set()
    for each in findings:
        if each.type.level > Level.INFO and each.field not in fields and not suppressed(each):
            fields.add(each.field)
            yield each.field, f"{each.text} ({each.type.code})"


def _mesh_settings(snapshot: Snapshot, applied: Item) -> Iterator[Warned]:
    """Certificates are of the trust domain that the server was started with, whatever is written."""
    if (applied.namespace, applied.name) != (lower_mesh.NAMESPACE, lower_mesh.NAME):
        return
    try:
        typed = decode(applied.body)
        if not isinstance(typed, ConfigMap):
            return
        written = lower_mesh.lower(typed, snapshot.mesh_defaults).trust_domain
    except (LoweringError, msgspec.ValidationError):
        return  # refused for itself
    certified = snapshot.mesh_defaults.trust_domain
    if written != certified:
        yield (
            f"{lower_mesh.FIELD}.trustDomain",
            f"{written}: this server certifies workloads of {certified}, and proxies will take none of them for its "
            f"services; write {certified}, or start the server with --trust-domain {written}",
        )
