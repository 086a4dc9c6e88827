"""The registry of stored objects: Service, ServiceEntry, WorkloadEntry, Endpoints and EndpointSlice in, updates of the
model out. No I/O.

Rules:
* A change costs what it changes: one WorkloadEntry touches only the services of its namespace that select it (found by
  one label of their selector), and only its own endpoints are made anew.
* A hostname has one service. Several ServiceEntries of one namespace that claim it are joined, each with its ports;
  otherwise the owner is the Service, or the oldest, and the others stand in `shadowed`.
* An object that cannot be lowered stands in `rejected`; what it said before stays in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeVar

from argosy.model import ir
from argosy.model.updates import Ref, RegistryUpdate
from argosy.registry.backing import Backing, Backings, lower_backing, served
from argosy.registry.hosts import Claim, endpoints_of, lower_service, lower_service_entry, proving, reached
from argosy.registry.ownership import shared, union
from argosy.registry.workload_ports import reached_beside, workload_port
from argosy.registry.workloads import Entry, SidecarPort, lower_entry
from argosy.resources.core import Endpoints, Service
from argosy.resources.discovery import EndpointSlice
from argosy.resources.meta import Object
from argosy.resources.networking import ServiceEntry, WorkloadEntry

K = TypeVar("K")
M = TypeVar("M")
Name = tuple[str, str]
ClaimKey = tuple[Ref, str]
"""A claim: the object and the hostname."""

Label = tuple[str, str]
ANY_LABEL: Label = ("", "")
"""The bucket of selectors without labels, which select everything in their namespace."""


class ObjectRegistry:
    def __init__(self, *, domain_suffix: str = "cluster.local", trust_domain: str = "cluster.local") -> None:
        self.rejected: dict[Ref, str] = {}
        self.shadowed: dict[str, tuple[Ref, ...]] = {}  # hostname -> objects that claim it in vain
        self._domain_suffix = domain_suffix
        self._trust_domain = trust_domain
        self._objects: dict[Ref, tuple[Claim, ...]] = {}
        self._hosts: dict[str, dict[Ref, Claim]] = {}
        self._entries: dict[Name, Entry] = {}
        self._selecting: dict[str, dict[Label, set[ClaimKey]]] = {}  # namespace -> label of the selector
        self._labelled: dict[str, dict[Label, set[str]]] = {}  # namespace -> label -> names of entries
        self._selected: dict[ClaimKey, set[str]] = {}
        self._selectors_of: dict[Name, tuple[ClaimKey, ...]] = {}  # sorted
        self._owned: dict[
            ClaimKey, tuple[ir.ServicePort, ...]
        ] = {}  # what a claim gives to its host; none: in vain
        self._owners: dict[str, tuple[Ref, ...]] = {}  # hostname -> objects that make it, the best first
        self._made: dict[
            ClaimKey, dict[str, tuple[ir.Endpoint, ...]]
        ] = {}  # by name of the entry; "": inline; what is written for a Service: by its kind and name, with a /
        self._backings = Backings(domain_suffix)
        self._services: dict[str, ir.Service] = {}  # as last told
        self._endpoints: dict[str, tuple[ir.Endpoint, ...]] = {}
        self._workloads: dict[Name, ir.Workload] = {}
        self._dirty_hosts: set[str] = set()
        self._dirty_endpoints: set[str] = set()
        self._dirty_workloads: set[Name] = set()

    # --- changes ----------------------------------------------------------------------------------------------------

    def upsert(self, obj: Object) -> RegistryUpdate:
        """Takes objects of the kinds above; others change nothing."""
        return self.upsert_all((obj,))

    def upsert_all(self, objects: Iterable[Object]) -> RegistryUpdate:
        """As one update: what several objects change together is computed once."""
        for obj in objects:
            self._stage(obj)
        return self._flush()

    def remove(self, kind: str, namespace: str, name: str) -> RegistryUpdate:
        self.rejected.pop((kind, namespace, name), None)
        if kind == "WorkloadEntry":
            self._set_entry((namespace, name), None)
        elif kind in ("Endpoints", "EndpointSlice"):
            self._set_backing((kind, namespace, name), None)
        else:
            self._set_claims((kind, namespace, name), ())
        return self._flush()

    def _stage(self, obj: Object) -> None:
        ref = (obj.kind, obj.metadata.namespace, obj.metadata.name)
        try:
            if isinstance(obj, WorkloadEntry):
                entry = lower_entry(obj)
            elif isinstance(obj, Service):
                claims = lower_service(
                    obj, domain_suffix=self._domain_suffix, trust_domain=self._trust_domain
                )
            elif isinstance(obj, ServiceEntry):
                claims = lower_service_entry(obj)
            elif isinstance(obj, (Endpoints, EndpointSlice)):
                self._set_backing(ref, lower_backing(obj))
                return
            else:
                return
        except Exception as error:
            # A store may be written past our validation: whatever is wrong with one object, the others keep working.
            self.rejected[ref] = f"{obj.label}: {error}"
            return
        self.rejected.pop(ref, None)
        if isinstance(obj, WorkloadEntry):
            self._set_entry(ref[1:], entry)
        else:
            self._set_claims(ref, claims)

    # --- workloads --------------------------------------------------------------------------------------------------

    def _set_entry(self, name: Name, new: Entry | None) -> None:
        old = self._entries.get(name)
        if old == new:
            return
        namespace, short = name
        if new is None:
            del self._entries[name]
        else:
            self._entries[name] = new
        before = frozenset(old.labels) if old else frozenset()
        after = frozenset(new.labels) if new else frozenset()
        by_label = self._labelled.setdefault(namespace, {})
        for label in after - before:
            by_label.setdefault(label, set()).add(short)
        for label in before - after:
            _discard(by_label, label, short)
        selecting = tuple(sorted(self._claims_for(new))) if new else ()
        for key in self._selectors_of.get(name, ()):
            if key not in selecting:
                self._selected[key].discard(short)
                self._forget(key, short)
        for key in selecting:
            self._selected[key].add(short)
            self._make(key, short)
        self._set_selectors(name, selecting)
        self._dirty_workloads.add(name)

    def _set_selectors(self, name: Name, keys: tuple[ClaimKey, ...]) -> None:
        if keys:
            self._selectors_of[name] = keys
        else:
            self._selectors_of.pop(name, None)

    def _claims_for(self, entry: Entry) -> Iterator[ClaimKey]:
        """The claims whose selector matches: only those in the buckets of its labels are looked at."""
        buckets = self._selecting.get(entry.namespace, {})
        labels = frozenset(entry.labels)
        for label in (ANY_LABEL, *entry.labels):
            for ref, hostname in buckets.get(label, ()):
                selector = self._hosts[hostname][ref].selector
                if selector is not None and labels.issuperset(selector):
                    yield ref, hostname

    def _entries_for(self, claim: Claim) -> set[str]:
        if claim.selector is None:
            return set()
        namespace = claim.service.namespace
        if not claim.selector:
            return {name for owner, name in self._entries if owner == namespace}
        by_label = self._labelled.get(namespace, {})
        return set.intersection(*(by_label.get(label, set()) for label in claim.selector))

    # --- what is written for a Service ------------------------------------------------------------------------------

    def _set_backing(self, ref: Ref, new: Backing | None) -> None:
        """A host that is dirty as a whole is made anew when told."""
        for hostname in self._backings.set(ref, new):
            claim = self._backable(hostname)
            if claim is not None and hostname not in self._dirty_hosts:
                made = self._made[claim.ref, hostname]
                made.pop(_place(ref), None)
                made.update(self._backing(claim, ref))
                self._dirty_endpoints.add(hostname)

    def _backing(self, claim: Claim, *refs: Ref) -> Iterator[tuple[str, tuple[ir.Endpoint, ...]]]:
        """What objects say of the Service that owns a host."""
        ports = self._owned[claim.ref, claim.service.hostname]
        for ref, backing in self._backings.of(claim.service.hostname):
            if (not refs or ref in refs) and (claim.selector is None or not backing.instead):
                endpoints = served(backing, ports, claim.unready)
                yield _place(ref), tuple(one for one in endpoints if one.mtls or not proving(claim.service))

    def _backable(self, hostname: str) -> Claim | None:
        """The Service that owns a host, where endpoints can be written for it."""
        for ref in self._owners.get(hostname, ()):
            claim = self._hosts.get(hostname, {}).get(ref)
            if claim is not None and claim.service.kubernetes and not claim.service.external:
                return claim
        return None

    # --- services ---------------------------------------------------------------------------------------------------

    def _set_claims(self, ref: Ref, new: tuple[Claim, ...]) -> None:
        old = self._objects.get(ref, ())
        if old == new:
            return
        for claim in old:
            self._drop_claim(claim)
        for claim in new:
            self._add_claim(claim)
        if new:
            self._objects[ref] = new
        else:
            self._objects.pop(ref, None)

    def _add_claim(self, claim: Claim) -> None:
        hostname, namespace = claim.service.hostname, claim.service.namespace
        key = (claim.ref, hostname)
        self._hosts.setdefault(hostname, {})[claim.ref] = claim
        self._dirty_hosts.add(hostname)
        if claim.selector is None:
            return
        bucket = claim.selector[0] if claim.selector else ANY_LABEL
        self._selecting.setdefault(namespace, {}).setdefault(bucket, set()).add(key)
        names = self._selected[key] = self._entries_for(claim)
        for name in names:
            selecting = self._selectors_of.get((namespace, name), ())
            self._selectors_of[namespace, name] = tuple(sorted((*selecting, key)))
            self._dirty_workloads.add((namespace, name))

    def _drop_claim(self, claim: Claim) -> None:
        hostname, namespace = claim.service.hostname, claim.service.namespace
        key = (claim.ref, hostname)
        claims = self._hosts[hostname]
        del claims[claim.ref]
        if not claims:
            del self._hosts[hostname]
        self._dirty_hosts.add(hostname)
        if claim.selector is None:
            return
        _discard(self._selecting[namespace], claim.selector[0] if claim.selector else ANY_LABEL, key)
        for name in self._selected.pop(key):
            selecting = self._selectors_of.get((namespace, name), ())
            self._set_selectors((namespace, name), tuple(other for other in selecting if other != key))
            self._dirty_workloads.add((namespace, name))

    # --- endpoints --------------------------------------------------------------------------------------------------

    def _make(self, key: ClaimKey, name: str) -> None:
        """One workload's endpoints of one claim. A host that is dirty as a whole is made anew when told."""
        ref, hostname = key
        ports = self._owned.get(key)
        if ports is None or hostname in self._dirty_hosts:
            return
        claim = self._hosts[hostname][ref]
        entry = self._entries[claim.service.namespace, name]
        self._made[key][name] = endpoints_of(claim, ports, entry)
        self._dirty_endpoints.add(hostname)

    def _forget(self, key: ClaimKey, name: str) -> None:
        if self._made.get(key, {}).pop(name, None) is not None:
            self._dirty_endpoints.add(key[1])

    def _make_all(self, hostname: str, owners: tuple[Claim, ...]) -> None:
        for claim in owners:
            key = (claim.ref, hostname)
            ports = self._owned[key]
            inline = (endpoints_of(claim, ports, entry) for entry in claim.inline)
            made = self._made[key] = {"": tuple(chain.from_iterable(inline))}
            for name in self._selected.get(key, ()):
                entry = self._entries[claim.service.namespace, name]
                made[name] = endpoints_of(claim, ports, entry)
            if claim is self._backable(hostname):
                made.update(self._backing(claim))
        self._dirty_endpoints.add(hostname)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _flush(self) -> RegistryUpdate:
        services: list[ir.Service] = []
        removed: list[str] = []
        origins: list[tuple[str, tuple[Ref, ...]]] = []
        for hostname in sorted(self._dirty_hosts):
            before = self._owners.get(hostname)
            owners = self._settle(hostname)
            if not owners:
                removed += [hostname] if self._services.pop(hostname, None) is not None else []
                continue
            self._make_all(hostname, owners)
            service = union([(claim.service, self._owned[claim.ref, hostname]) for claim in owners])
            after = self._owners[hostname]
            if self._services.get(hostname) != service or before != after:
                self._services[hostname] = service
                services.append(service)
                origins.append((hostname, after))
        endpoints = tuple(
            (hostname, self._endpoints[hostname])
            for hostname in sorted(self._dirty_endpoints)
            if self._collect(hostname)
        )
        workloads: list[ir.Workload] = []
        gone: list[Name] = []
        for name in sorted(self._dirty_workloads):
            workload = self._workload(name)
            if workload is None:
                gone += [name] if self._workloads.pop(name, None) is not None else []
            elif self._workloads.get(name) != workload:
                self._workloads[name] = workload
                workloads.append(workload)
        self._dirty_hosts.clear()
        self._dirty_endpoints.clear()
        self._dirty_workloads.clear()
        return RegistryUpdate(
            services=tuple(services),
            removed_services=tuple(removed),
            endpoints=endpoints,
            workloads=tuple(workloads),
            removed_workloads=tuple(gone),
            origins=tuple(origins),
        )

    def _settle(self, hostname: str) -> tuple[Claim, ...]:
        """Decides who owns a host, and which ports each gives; () where nobody claims it any more."""
        before: dict[Ref, tuple[ir.ServicePort, ...]] = {}
        for ref in self._owners.pop(hostname, ()):
            before[ref] = self._owned.pop((ref, hostname))
            del self._made[ref, hostname]
        claims = sorted(self._hosts.get(hostname, {}).values(), key=lambda claim: claim.rank)
        shares = shared(claims)
        vain = tuple(claim.ref for claim, ports in shares if ports is None)
        self.shadowed.pop(hostname, None)
        if vain:
            self.shadowed[hostname] = vain
        for claim, ports in shares:
            if ports is not None:
                self._owned[claim.ref, hostname] = ports
            if ports != before.get(claim.ref):
                selected = self._selected.get((claim.ref, hostname), ())
                self._dirty_workloads.update((claim.service.namespace, name) for name in selected)
        if not claims:
            self._endpoints.pop(hostname, None)
            self._dirty_endpoints.discard(hostname)
            return ()
        owners = tuple(claim for claim, ports in shares if ports is not None)
        self._owners[hostname] = tuple(claim.ref for claim in owners)
        return owners

    def _collect(self, hostname: str) -> bool:
        """Joins the endpoints of a host in a stable order; whether they differ from what was last told."""
        parts = []
        for ref in self._owners[hostname]:
            made = self._made[ref, hostname]
            parts += [made[name] for name in sorted(made)]
        endpoints = tuple(chain.from_iterable(parts))
        if self._endpoints.get(hostname, ()) == endpoints:
            return False
        self._endpoints[hostname] = endpoints
        return True

    def _workload(self, name: Name) -> ir.Workload | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        reaching: dict[int, list[tuple[str, int, ir.ServicePort]]] = {}
        for ref, hostname in self._selectors_of.get(name, ()):
            claim, ports = self._hosts[hostname][ref], self._owned.get((ref, hostname), ())
            for port, target in zip(claim.service.ports, claim.targets, strict=True):
                number = reached(claim, port, target, entry)
                if number is not None and port in ports:
                    reaching.setdefault(number, []).append((hostname, port.number, port))
        bound = entry.sidecar
        if bound is None:
            numbers = sorted({number for _, number in entry.ports} | reaching.keys())
            bound = tuple(SidecarPort(number, number, number) for number in numbers)
        return ir.Workload(
            name=entry.name,
            namespace=entry.namespace,
            service_account=entry.service_account or "default",
            address=entry.address,
            labels=entry.labels,
            ports=tuple(workload_port(port, reaching.get(port.workload, ()), entry) for port in bound),
            reached=reached_beside(reaching, {port.workload for port in bound}),
            network=entry.network,
            locality=entry.locality,
        )


def _place(ref: Ref) -> str:
    return f"/{ref[0]}/{ref[2]}"


def _discard(groups: dict[K, set[M]], group: K, member: M) -> None:
    """Takes a member out of a group; an empty group goes."""
    members = groups[group]
    members.discard(member)
    if not members:
        del groups[group]
