"""VirtualServices, by the hosts they route for sidecars, by the gateways they are bound to, and by their delegates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from argosy.model import lower_virtual_service
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.hostnames import MESH_GATEWAY
from argosy.model.rules import VirtualServiceRule
from argosy.model.scope import Selector
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table, named, split
from argosy.model.updates import Ref
from argosy.resources.networking import VirtualService

VIRTUAL_HOSTS = Fact(FactKind.HOSTS, "virtual")


class VirtualServices(Table[VirtualServiceRule]):
    kind = "VirtualService"
    resource = VirtualService
    makes = frozenset(
        (
            FactKind.ROUTES,
            FactKind.BOUND,
            FactKind.VIRTUAL_SERVICE,
            FactKind.CONNECTIONS,
            FactKind.TARGETS,
        )
    )

    def __init__(
        self, selectors: SelectorIndex, domain_suffix: str, no_service: Callable[[str], bool]
    ) -> None:
        """`no_service`: whether no service has the name."""
        super().__init__(selectors)
        self.by_host: Groups[str, VirtualServiceRule] = Groups()  # of those bound to `mesh`
        self.by_gateway: Groups[str, VirtualServiceRule] = Groups()
        self.connecting: Groups[str, VirtualServiceRule] = (
            Groups()
        )  # of these, the ones with tcp or tls routes
        self.by_target: Groups[str, VirtualServiceRule] = Groups()  # with delegates
        self._domain_suffix = domain_suffix
        self._no_service = no_service
        self._roots: dict[Name, set[Name]] = {}  # delegate -> the VirtualServices that name it

    def lower(self, obj: Any) -> VirtualServiceRule:
        return lower_virtual_service.lower(obj, self._domain_suffix)

    def changed(self, key: Name, old: VirtualServiceRule | None, new: VirtualServiceRule | None) -> set[Fact]:
        before, after = _mesh_hosts(old), _mesh_hosts(new)
        facts = {Fact(FactKind.ROUTES, host) for host in _changed(old, new, before, after)}
        if any(self._no_service(host) for host in self.by_host.replace(old, before, new, after)):
            facts.add(VIRTUAL_HOSTS)
        facts |= self._bind(key, old, new)
        before, after = _targets(old), _targets(new)
        self.by_target.replace(old, before, new, after)
        if old is not None and new is not None and _place(old) == _place(new):
            led = before ^ after
        else:
            named = _delegates(old) | _delegates(new)
            led = before.union(after, *(_targets(self.rules.get(delegate)) for delegate in named))
        facts |= {Fact(FactKind.TARGETS, host) for host in led}
        self._set_delegates(key, _delegates(old), _delegates(new))
        for root in self._roots.get(key, ()):
            facts |= _facts_of_routes(root, self.rules[root])
        return facts

    def _bind(self, key: Name, old: VirtualServiceRule | None, new: VirtualServiceRule | None) -> set[Fact]:
        """To the gateways that it names."""
        before, after = _edge_gateways(old), _edge_gateways(new)
        self.by_gateway.replace(old, before, new, after)
        facts = {Fact(FactKind.BOUND, gateway) for gateway in before ^ after}
        if (before or after) and (before != after or _served(old) != _served(new)):
            facts.add(named(FactKind.VIRTUAL_SERVICE, key))
        before, after = _connected(old), _connected(new)
        self.connecting.replace(old, before, new, after)
        same = old is not None and new is not None and _connections(old) == _connections(new)
        return facts | {
            Fact(FactKind.CONNECTIONS, one) for one in (before ^ after if same else before | after)
        }

    def gateways_of(self, name: Name) -> frozenset[str]:
        """To which a VirtualService is bound; none of one that is not there."""
        return _edge_gateways(self.rules.get(name))

    def leading_to(self, host: str) -> Iterator[VirtualServiceRule]:
        """Those with a route to a host, themselves or by a delegate."""
        for rule in self.by_target.get(host):
            if rule.hosts:
                yield rule
            for root in self._roots.get((rule.namespace, rule.name), ()):
                yield self.rules[root]

    def _set_delegates(self, root: Name, old: frozenset[Name], new: frozenset[Name]) -> None:
        for delegate in new - old:
            self._roots.setdefault(delegate, set()).add(root)
        for delegate in old - new:
            self._roots[delegate].discard(root)
            if not self._roots[delegate]:
                del self._roots[delegate]

    def facts(self, key: Name, rule: VirtualServiceRule) -> set[Fact]:
        """With those of the VirtualServices that it is a part of."""
        delegates = (_targets(self.rules.get(delegate)) for delegate in _delegates(rule))
        led = _targets(rule).union(*delegates)
        facts = _facts_of_routes(key, rule) | {Fact(FactKind.TARGETS, host) for host in led}
        facts |= {Fact(FactKind.BOUND, gateway) for gateway in _edge_gateways(rule)}
        facts |= {Fact(FactKind.CONNECTIONS, gateway) for gateway in _connected(rule)}
        for root in self._roots.get(key, ()):
            facts |= _facts_of_routes(root, self.rules[root])
        return facts

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        if fact.kind is FactKind.TARGETS:
            return self.refs(self.by_target.get(fact.name)) | self.refs(self.leading_to(fact.name))
        if fact.kind is FactKind.BOUND:
            return self.refs(self.by_gateway.get(fact.name))
        if fact.kind is FactKind.CONNECTIONS:
            return self.refs(self.connecting.get(fact.name))
        if fact.kind is FactKind.ROUTES:
            return self._with_delegates(self.by_host.get(fact.name))
        rule = self.rules.get(split(fact.name))
        return self._with_delegates((rule,) if _edge_gateways(rule) and rule is not None else ())

    def of_mesh_hosts(self) -> frozenset[Ref]:
        """All that name hosts for sidecars."""
        return self.refs(rule for rule in self.rules.values() if _mesh_hosts(rule))

    def selectors(self, rule: VirtualServiceRule) -> frozenset[Selector]:
        sources = [match.source for http in rule.http for match in http.matches]
        sources += [match.source for l4 in rule.tcp + rule.tls for match in l4.matches]
        return frozenset[Selector]().union(*(source.selectors for source in sources))

    def _with_delegates(self, rules: Iterable[VirtualServiceRule]) -> frozenset[Ref]:
        rules = tuple(rules)
        named = {delegate for rule in rules for delegate in _delegates(rule)}
        return self.refs(rules) | self.refs(self.rules[name] for name in named if name in self.rules)


def _changed(
    old: VirtualServiceRule | None,
    new: VirtualServiceRule | None,
    before: frozenset[str],
    after: frozenset[str],
) -> frozenset[str]:
    """Of the hosts that a VirtualService is and was for, those for which it now says something else."""
    if old is None or new is None:
        return before | after
    same = (old.created, old.export_to, old.http, old.tcp, old.tls) == (
        new.created,
        new.export_to,
        new.http,
        new.tcp,
        new.tls,
    )
    return before ^ after if same else before | after


def _mesh_hosts(rule: VirtualServiceRule | None) -> frozenset[str]:
    return frozenset(rule.hosts) if rule is not None and MESH_GATEWAY in rule.gateways else frozenset()


def _edge_gateways(rule: VirtualServiceRule | None) -> frozenset[str]:
    if rule is None or not rule.hosts:
        return frozenset()
    return frozenset(rule.gateways) - {MESH_GATEWAY}


def _served(rule: VirtualServiceRule | None) -> tuple[object, ...]:
    """What it says of HTTP at its gateways, and for whom."""
    return () if rule is None else (rule.created, rule.export_to, rule.hosts, rule.http)


def _connections(rule: VirtualServiceRule) -> tuple[object, ...]:
    """The same, of what is not HTTP."""
    return (rule.created, rule.export_to, rule.hosts, rule.tcp, rule.tls)


def _connected(rule: VirtualServiceRule | None) -> frozenset[str]:
    """The gateways at which it has routes of what is not HTTP."""
    return _edge_gateways(rule) if rule is not None and (rule.tcp or rule.tls) else frozenset()


def _facts_of_routes(key: Name, rule: VirtualServiceRule) -> set[Fact]:
    facts = {Fact(FactKind.ROUTES, host) for host in _mesh_hosts(rule)}
    return facts | {named(FactKind.VIRTUAL_SERVICE, key)} if _edge_gateways(rule) else facts


def _targets(rule: VirtualServiceRule | None) -> frozenset[str]:
    if rule is None:
        return frozenset()
    targets = [item.target for http in rule.http for item in http.targets]
    targets += [item.target for l4 in rule.tcp + rule.tls for item in l4.targets]
    targets += [mirror.target for http in rule.http for mirror in http.mirrors]
    return frozenset(target.host for target in targets)


def _place(rule: VirtualServiceRule) -> tuple[object, ...]:
    """What decides who imports it."""
    return (rule.hosts, rule.export_to, rule.gateways, _delegates(rule))


def _delegates(rule: VirtualServiceRule | None) -> frozenset[Name]:
    if rule is None:
        return frozenset()
    return frozenset((http.delegate.namespace, http.delegate.name) for http in rule.http if http.delegate)
