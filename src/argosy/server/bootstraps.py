"""What a workload's proxy is started with by the mesh that there is: patches of EnvoyFilters, routes in parts.

Facts (Istio): MERGE alone; of `match` only `proxy` counts. What an Envoy refused is a fault of the EnvoyFilter for as
long as the workload says so, or until somebody changes the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap

from argosy.model.envoy_patches import Operation, Part, PlacedPatch
from argosy.model.ir import Workload
from argosy.model.reader import Reader
from argosy.model.scope import VERSION, ProxyType, Scope, scope_of
from argosy.model.updates import Ref
from argosy.server.reconcile import Reconciler
from argosy.store.base import Key
from argosy.translate import parts
from argosy.translate.names import HTTP_PROXY
from argosy.translate.patches.values import PatchError, shared_value
from argosy.xds.node import ISTIO_VERSION
from argosy.xds.start import BootstrapPatch, ProxyStart, RefusedPatch

ENVOY_FILTERS = "networking.istio.io/envoyfilters"
ROUTES, ASKED = "ARGOSY_ROUTES", ("parted", "whole")
"""In `proxyMetadata`: how the routes are laid out, whatever the size of the mesh."""
_KIND, _PLACE, _META = "EnvoyFilter", "bootstrap", "ISTIO_META_"


class Bootstraps:
    """`look` is told of the EnvoyFilters that stand otherwise now."""

    def __init__(self, reconciler: Reconciler, look: Callable[[Iterable[Key]], None]) -> None:
        self._reconciler = reconciler
        self._look = look
        self._refused: dict[Key, dict[Ref, str]] = {}  # by workload
        reconciler.on_touched.append(self._touched)

    def added(
        self,
        start: ProxyStart,
        entry: Key,
        labels: Mapping[str, str],
        environment: Mapping[str, str],
        kind: ProxyType = ProxyType.SIDECAR,
    ) -> ProxyStart:
        """To what the proxy of a workload is started with, by its entry's key. Patches that cannot be read are left
        out."""
        said = {VERSION: ISTIO_VERSION, "NAME": entry.name, "NAMESPACE": entry.namespace}
        said |= {
            name.removeprefix(_META): value for name, value in environment.items() if name.startswith(_META)
        }
        reader = Reader(self._reconciler.snapshot)
        scope = scope_of(
            reader,
            type=kind,
            namespace=entry.namespace,
            labels=tuple(sorted(labels.items())),
            metadata=tuple(sorted(said.items())),
            workload=self._known(entry) if kind is ProxyType.ROUTER else None,
        )
        found = (one for one in reader.envoy_filters(scope) if one.patch.part is Part.BOOTSTRAP)
        return msgspec.structs.replace(
            start,
            patches=tuple(made for one in found if (made := _made(one)) is not None),
            parted=self._parted(scope, environment.get(ROUTES, "")),
        )

    def _known(self, entry: Key) -> Workload | None:
        """Of a gateway that has been here before: by the services that it is of, ports of Gateways are translated."""
        return self._reconciler.snapshot.workloads.get((entry.namespace, entry.name))

    def _parted(self, scope: Scope, asked: str) -> tuple[str, ...]:
        """Decided when a proxy is started, and for as long as it lives: another layout is another listener, and one
        that is replaced lets go of its connections."""
        snapshot = self._reconciler.snapshot
        if asked not in ASKED:
            return parts.wanted(snapshot, scope)
        if asked == "whole":
            return ()
        return (HTTP_PROXY,) if scope.type is ProxyType.SIDECAR else parts.plain_routes(snapshot, scope)

    def refused(self, entry: Key, refusals: Iterable[RefusedPatch]) -> None:
        """What the Envoy of a workload does not accept; nothing any more where there is nothing."""
        found: dict[Ref, str] = {}
        for one in refusals:
            ref = (_KIND, one.namespace, one.name)
            text = (
                f"spec.configPatches[{one.index}].patch.value: {one.message} (this patch is left out by "
                f"{entry.namespace}/{entry.name})"
            )
            found[ref] = f"{found[ref]}; {text}" if ref in found else text
        before = self._refused.pop(entry, {})
        if found:
            self._refused[entry] = found
        if before != found:
            self._put(entry)
            self._look(_key(ref) for ref in {**before, **found})

    def _put(self, entry: Key) -> None:
        place = (self, _PLACE, f"{entry.namespace}/{entry.name}")
        self._reconciler.compiler.faults.put(place, self._refused.get(entry, {}))

    def _touched(self, keys: Iterable[Key]) -> None:
        """An EnvoyFilter that was written is another: what was said of it is over."""
        changed = {(_KIND, key.namespace, key.name) for key in keys if key.resource == ENVOY_FILTERS}
        for entry, found in list(self._refused.items()) if changed else ():
            rest = {ref: text for ref, text in found.items() if ref not in changed}
            if rest != found:
                self._refused[entry] = rest
                self._put(entry)


def _key(ref: Ref) -> Key:
    return Key(ENVOY_FILTERS, ref[1], ref[2])


def _made(one: PlacedPatch) -> BootstrapPatch | None:
    if one.patch.operation is not Operation.MERGE:
        return None
    try:
        value = shared_value(one.patch, Bootstrap)
    except PatchError:
        return None
    data = value.SerializeToString(deterministic=True)
    return BootstrapPatch(namespace=one.namespace, name=one.name, index=one.index, value=data)
