"""What a change sends to whom: the resources that become others, of how many proxies, in how many bytes.

The same path as in the server: objects -> registry and model -> facts -> compiler; so it costs what the change changes.
The proxies are those of the model's workloads, and one gateway for each selector of a Gateway that no workload has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from argosy.model.discovery import seen
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.registry.objects import ObjectRegistry
from argosy.resources.core import ConfigMap
from argosy.resources.kinds import kind_of
from argosy.translate import parts
from argosy.translate.compiler import Compiler
from argosy.translate.proxy import Proxy
from argosy.translate.resource import Resource
from argosy.xds.types import short

if TYPE_CHECKING:
    from argosy.model.facts import Fact
    from argosy.model.ir import Mesh
    from argosy.resources.meta import Object
    from argosy.translate.graph import ViewBuild


NEWEST = "9999-12-31T23:59:59Z"
Held = dict[str, dict[str, Resource]]
"""Type URL -> name -> resource."""


class Change(Struct, frozen=True, rename="camel"):
    """One resource that becomes another."""

    type: str
    name: str
    what: str  # new | changed | gone
    bytes: int  # of the largest, where scopes have it in other forms
    proxies: int


class Impact(Struct, frozen=True):
    changes: tuple[Change, ...]
    proxies: int  # that are sent something …
    of: int  # … of all
    bytes: int  # over all proxies
    refused: tuple[str, ...] = ()  # objects that cannot be used, and why


class World:
    """A mesh with its proxies, as compiled."""

    def __init__(self, found: Sequence[Object], mesh: Mesh, interception: Interception) -> None:
        self.snapshot = Snapshot(mesh)
        self.registry = ObjectRegistry(trust_domain=mesh.trust_domain, domain_suffix=mesh.domain_suffix)
        self.interception = interception
        self.created = {_ref(one): one.metadata.creation_timestamp for one in found}
        self._held: dict[tuple[str, str, str], Object] = {}
        self._parted: dict[tuple[str, str], tuple[str, ...]] = {}  # of each workload
        self.objects = {_ref(one): one for one in found}
        self._settle()

    @property
    def rejected(self) -> dict[tuple[str, str, str], str]:
        return {**self.registry.rejected, **self.snapshot.rejected}

    def change(self, changed: Sequence[Object], gone: Sequence[Object] = ()) -> Impact:
        """Brings the mesh to what it is after the change. Proxies that come or go with it are not counted: they get or
        lose everything."""
        compiler = Compiler(self.snapshot)
        copies: dict[
            ViewBuild, Held
        ] = {}  # one of each view, so that what many proxies share is compared once

        def held(proxy: Proxy) -> tuple[Held, Held]:
            views = (compiler.shared(proxy.scope), compiler.own(proxy))
            for view in views:
                if view not in copies:
                    copies[view] = {kind: dict(names) for kind, names in view.resources.items()}
            return copies[views[0]], copies[views[1]]

        before = {name: held(proxy) for name, proxy in self._proxies().items()}
        compiler.apply(self._take(changed, gone))
        copies.clear()
        after = {name: held(proxy) for name, proxy in self._proxies().items() if name in before}
        sent: dict[tuple[str, str, str], dict[str, int]] = {}  # -> proxy -> bytes
        compared: dict[tuple[int, int], tuple[tuple[str, str, str, int], ...]] = {}
        for proxy, layers in after.items():
            for earlier, later in zip(before[proxy], layers, strict=True):
                key = (id(earlier), id(later))
                if key not in compared:
                    compared[key] = tuple(_differences(earlier, later))
                for kind, name, what, size in compared[key]:
                    sent.setdefault((kind, name, what), {})[proxy] = size
        wanted = {_ref(one) for one in changed}
        return Impact(
            changes=tuple(
                Change(*change, max(sizes.values()), len(sizes)) for change, sizes in sorted(sent.items())
            ),
            proxies=len(set().union(*sent.values())),
            of=len(after),
            bytes=sum(sum(sizes.values()) for sizes in sent.values()),
            refused=tuple(why for ref, why in self.rejected.items() if ref in wanted),
        )

    def _take(self, changed: Sequence[Object], gone: Sequence[Object]) -> set[Fact]:
        for one in gone:
            self.objects.pop(_ref(one), None)
        self.objects |= {_ref(one): self._dated(one) for one in changed}
        return self._settle()

    def _settle(self) -> set[Fact]:
        """Brings the model to the objects that the mesh sees."""
        facts: set[Fact] = set()
        for one in self.objects.values():
            if isinstance(one, ConfigMap):
                facts |= self.snapshot.put_config(one)
        wanted = {_ref(one): one for one in seen(self.objects.values(), self.snapshot.mesh)}
        for ref in self._held.keys() - wanted.keys():
            facts |= self.snapshot.apply(self.registry.remove(*ref)) | self.snapshot.remove_config(*ref)
        new = [one for ref, one in wanted.items() if self._held.get(ref) is not one]
        facts |= self.snapshot.apply(self.registry.upsert_all(new))
        for one in new:
            facts |= self.snapshot.put_config(one)
        self._held = wanted
        return facts

    def _dated(self, one: Object) -> Object:
        """As old as the object that it takes the place of; a new one younger than all: the oldest wins conflicts."""
        created = self.created.get(_ref(one), NEWEST)
        return replace(one, metadata=replace(one.metadata, creation_timestamp=created))

    def _proxies(self) -> dict[str, Proxy]:
        """Workloads that a Gateway selects are gateways; where none is, one is thought of."""
        reader = Reader(self.snapshot)
        selectors = {
            rule.selector.labels if rule.selector is not None else (): rule.namespace
            for rule in self.snapshot.gateways.rules.values()
        }
        found: dict[str, Proxy] = {}
        served: set[tuple[tuple[str, str], ...]] = set()
        for (namespace, name), workload in sorted(self.snapshot.workloads.items()):
            by = {labels for labels in selectors if labels and frozenset(labels).issubset(workload.labels)}
            served |= by
            scope = scope_of(
                reader,
                type=ProxyType.ROUTER if by else ProxyType.SIDECAR,
                interception=self.interception,
                namespace=namespace,
                labels=workload.labels,
                workload=workload,
            )
            # As it was started: a change of the mesh's size changes no proxy that runs.
            parted = self._parted.setdefault((namespace, name), parts.wanted(self.snapshot, scope))
            scope = replace(scope, parted=parted)
            found[f"{namespace}/{name}"] = Proxy(
                namespace=namespace, name=name, scope=scope, labels=workload.labels
            )
        for labels, namespace in selectors.items():
            if labels not in served:
                words = ",".join(f"{key}={value}" for key, value in labels) or "any"
                scope = scope_of(reader, type=ProxyType.ROUTER, namespace=namespace, labels=labels)
                found[f"gateway {words}"] = Proxy(namespace=namespace, name=words, scope=scope, labels=labels)
        return found


def _differences(before: Held, after: Held) -> Iterator[tuple[str, str, str, int]]:
    for kind in sorted(before.keys() | after.keys()):
        earlier, later = before.get(kind, {}), after.get(kind, {})
        for name, resource in later.items():
            if name not in earlier:
                yield short(kind), name, "new", len(resource.frame)
            elif earlier[name].version != resource.version:
                yield short(kind), name, "changed", len(resource.frame)
        for name in earlier.keys() - later.keys():
            yield short(kind), name, "gone", 0


def _ref(one: Object) -> tuple[str, str, str]:
    """By the name that no other kind has: two are called Gateway."""
    kind = kind_of(one.api_version, one.kind)
    return (kind.unique_name if kind else one.kind, one.metadata.namespace, one.metadata.name)
