"""What an object that is being applied says that fits nothing else in the mesh, or has no effect: accepted, because the
other part may come later, but told. The rules of `argosy analyze`, all that are for an object by itself.

* Each warning names the field, the value, the remedy and the code; it is about the object as written and the World as
  it is, whether or not the World already holds the object.
* One warning a field: what follows from the first is not said. What is merely of interest (Info) is not said either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from argosy.explain.analysis.analyze import ALL
from argosy.explain.analysis.catalogue import Level
from argosy.explain.analysis.message import Finding, Rule, found, suppressed
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import Item, World, item
from argosy.model import ir, lower_mesh
from argosy.model.errors import LoweringError
from argosy.resources.core import ConfigMap
from argosy.resources.kinds import decode

Warned = tuple[str, str]
"""(field, message)."""


def _by_kind() -> Mapping[str, tuple[Rule, ...]]:
    found: dict[str, tuple[Rule, ...]] = {}
    for analyzer in ALL:
        for kind in () if analyzer.kubernetes else analyzer.kinds:
            found[kind] = (*found.get(kind, ()), *analyzer.rules)
    return found


RULES = _by_kind()
ASKED = ("WorkloadEntry", "Secret", "ConfigMap")
"""Kinds that rules ask for and none is about."""
REFERENCES = frozenset(
    ("ReferencedResourceNotFound", "InvalidGatewayCredential", "UnknownDestinationRuleHost")
)
"""Messages that say that an object names another in vain."""


def findings(world: World, about: Item, more: tuple[Rule, ...] = ()) -> Iterator[Finding]:
    """What is worth a warning, one a field. `more`: rules besides."""
    fields = set()
    for rule in (*RULES.get(about.kind, ()), *more):
        for each in _contained(rule, world, about):
            if each.type.level > Level.INFO and each.field not in fields and not suppressed(each):
                fields.add(each.field)
                yield each


def _contained(rule: Rule, world: World, about: Item) -> Iterator[Finding]:
    """Who applies, or reads a status, gets the rest, whatever is wrong with one rule."""
    try:
        yield from rule(world, about)
    except Exception as error:
        yield found("InternalError", about, error=f"{type(error).__name__}: {error}")


def text(finding: Finding) -> str:
    return f"{finding.text} ({finding.type.code})"


def is_reference(finding: Finding) -> bool:
    """Whether an object is named that is not there, or of no use. A selector names nothing."""
    return finding.type.name in REFERENCES and not finding.field.endswith("elector")


def is_secret(finding: Finding) -> bool:
    return finding.field.endswith("credentialName")


def warnings(world: World, body: Json, mesh: ir.Mesh) -> tuple[Warned, ...]:
    """In the order of the rules; () where everything fits or nothing is asked of the kind. `mesh`: the settings that
    the server was started with."""
    about = item(body)
    if about is None:
        return ()
    if about.kind == "ConfigMap":
        return tuple(_mesh_settings(mesh, about))
    return tuple((each.field, text(each)) for each in findings(world, about))


def _mesh_settings(mesh: ir.Mesh, applied: Item) -> Iterator[Warned]:
    """Certificates are of the trust domain that the server was started with, whatever is written."""
    if (applied.namespace, applied.name) != (lower_mesh.NAMESPACE, lower_mesh.NAME):
        return
    try:
        typed = decode(applied.body)
        if not isinstance(typed, ConfigMap):
            return
        written = lower_mesh.lower(typed, mesh).trust_domain
    except (LoweringError, msgspec.ValidationError):
        return  # refused for itself
    if written != mesh.trust_domain:
        yield (
            f"{lower_mesh.FIELD}.trustDomain",
            f"{written}: this server certifies workloads of {mesh.trust_domain}, and proxies will take none of them "
            f"for its services; write {mesh.trust_domain}, or start the server with --trust-domain {written}",
        )
