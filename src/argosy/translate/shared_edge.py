"""The view that all gateways of one scope share: beside clusters and endpoints, the routes of what they serve.

What the Gateways offer is one plan; each VirtualService that is bound to one of them has a plan of its own, which says
at which hosts of which RouteConfigurations it is served. A virtual host is made of the VirtualServices of its host
alone, and a RouteConfiguration joins them: so what a VirtualService costs does not depend on how many others there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from msgspec import Struct

from argosy.model.gateways import Offer
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.model.snapshot import Name
from argosy.translate import edge
from argosy.translate.edge import At, Offers, Place, Routed, RoutePlan, Served, Serving
from argosy.translate.generator import Fragment
from argosy.translate.graph import PLAN, VIRTUAL_HOST, Graph, Node, Phase
from argosy.translate.joined import Owner
from argosy.translate.resource import ROUTE, Resource
from argosy.translate.route import (
    RouteConfigurationKey,
    VirtualHostKey,
    route_configuration,
    virtual_host,
)
from argosy.translate.shared import SharedView, last_host, route_of

GATEWAY_PLAN = "gateways"
OF_GATEWAYS = "of-gateways"
"""The Gateways of a RouteConfiguration, whose objects it is made of; apart from it, as there may be many."""
BOUND = "bound/"
REMOVED = Fragment(b"")
"""A virtual host that an EnvoyFilter takes away: there is one less, and yet something is served."""


class _Routes(Struct, eq=False):
    """A RouteConfiguration as it stands."""

    plan: RoutePlan
    place: dict[Offer, int] = {}  # in the order of the plan
    secure: dict[str, tuple[Offer, ...]] = {}  # hosts that some offers redirect to https, served or not
    hosts: dict[str, dict[Name, tuple[Offer, ...]]] = {}  # the VirtualServices of each host
    there: set[str] = set()  # hosts that have a virtual host

    def follow(self, plan: RoutePlan) -> None:
        self.plan = plan
        self.place = {offer: at for at, offer in enumerate(plan.offers)}
        secure: dict[str, list[Offer]] = {}
        for offer in plan.offers:
            for name in offer.names if offer.redirects else ():
                secure.setdefault(name, []).append(offer)
        self.secure = {host: tuple(offers) for host, offers in secure.items()}

    def leave(self, host: str, name: Name) -> None:
        """A VirtualService is not served at the host any more."""
        held = self.hosts.get(host, {})
        held.pop(name, None)
        if not held:
            self.hosts.pop(host, None)

    def serving(self, host: str) -> tuple[Serving, ...]:
        secure = self.secure.get(host, ())
        by: dict[Offer, list[Name]] = {offer: [] for offer in secure}
        for name, offers in self.hosts.get(host, {}).items():
            for offer in offers:
                by.setdefault(offer, []).append(name)
        ordered = sorted(by, key=self.place.__getitem__)
        return tuple(Serving(offer, tuple(by[offer]), offer in secure) for offer in ordered)


class EdgeView(SharedView):
    def __init__(self, graph: Graph, scope: Scope) -> None:
        super().__init__(graph, scope)
        self.routed: dict[str, _Routes] = {}
        self.offers: dict[str, Offers] = {}  # by what VirtualServices name to be served there

    # --- what there is ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        super().start()
        self.add(PLAN, GATEWAY_PLAN, Phase.PLAN, partial(edge.routed, self.scope))

    def bind(self, name: Name, gateways: Iterable[str]) -> None:
        """A VirtualService is bound to these gateways now: it has a plan where any of them is one of the view's."""
        plan = f"{BOUND}{name[0]}/{name[1]}"
        if any(gateway in self.offers for gateway in gateways):
            self.add(PLAN, plan, Phase.PLAN, partial(self._bound_plan, name))
        else:
            self.remove(PLAN, plan)

    def settled(self, node: Node, old: Any, new: Any) -> None:
        if node.kind == PLAN and node.name == GATEWAY_PLAN:
            self._replan_gateways(new or ())
        elif node.kind == PLAN and node.name.startswith(BOUND):
            namespace, _, name = node.name.removeprefix(BOUND).partition("/")
            self._replan_bound((namespace, name), old or (), new or ())
        else:
            super().settled(node, old, new)

    # --- plans ------------------------------------------------------------------------------------------------------

    def _replan_gateways(self, new: Routed) -> None:
        for route in self.routed.keys() - {plan.name for plan in new}:
            self._no_route(route)
        places: dict[str, list[Place]] = {}
        for plan in new:
            self._follow_plan(plan)
            for offer in plan.offers:
                places.setdefault(offer.bound_by, []).append((plan.name, offer))
        before, self.offers = self.offers, {}
        for gateway, found in places.items():
            known = before.get(gateway)
            same = known is not None and known.places == tuple(found)
            self.offers[gateway] = known if known is not None and same else Offers(found)
        reader = Reader(self.graph.snapshot)
        for gateway in before.keys() | self.offers.keys():
            if before.get(gateway) is not self.offers.get(gateway):
                for rule in reader.bound(gateway):
                    self.bind((rule.namespace, rule.name), rule.gateways)
                    self.mark(PLAN, f"{BOUND}{rule.namespace}/{rule.name}")

    def _follow_plan(self, plan: RoutePlan) -> None:
        of = self.routed.get(plan.name)
        if of is None:
            of = self.routed[plan.name] = _Routes(plan)
            self._configure(plan.name)
            self.add(OF_GATEWAYS, plan.name, Phase.PART, partial(self._of_gateways, plan.name))
        elif of.plan == plan:
            return
        elif (of.plan.http3, of.plan.port) != (plan.http3, plan.port):
            self._join_again(plan.name)
        self.mark(OF_GATEWAYS, plan.name)
        before, secure = of.place, of.secure
        of.follow(plan)
        for host in secure.keys() | of.secure.keys():
            if secure.get(host) != of.secure.get(host):
                self._look_at(plan.name, host)
        if [one for one in before if one in of.place] != [one for one in of.place if one in before]:
            for host in of.hosts:  # the order of Gateways is another one
                self.mark(VIRTUAL_HOST, _node(plan.name, host))

    def _join_again(self, route: str) -> None:
        for name in self._configurations(route):
            self.mark(ROUTE, name)

    def _no_route(self, route: str) -> None:
        of = self.routed.pop(route)
        for host in of.hosts.keys() | of.secure.keys():
            self.remove(VIRTUAL_HOST, _node(route, host))
        self.remove(OF_GATEWAYS, route)
        self._leave_out(route)

    def _bound_plan(self, name: Name, reader: Reader) -> Served:
        rule = reader.bound_rule(self.scope, *name)
        if rule is None or not rule.http:
            return ()
        found: dict[At, tuple[Offer, ...]] = {}
        for gateway in rule.gateways:
            for at, offers in self.offers[gateway].serve(rule) if gateway in self.offers else ():
                found[at] = found.get(at, ()) + offers
        return tuple(sorted(found.items(), key=lambda one: one[0]))

    def _replan_bound(self, name: Name, old: Served, new: Served) -> None:
        before, after = dict(old), dict(new)
        for route, host in before.keys() - after.keys():
            if (of := self.routed.get(route)) is not None:
                of.leave(host, name)
                self._look_at(route, host)
        for (route, host), offers in after.items():
            if before.get((route, host)) != offers:
                self.routed[route].hosts.setdefault(host, {})[name] = offers
                self._look_at(route, host)

    def _look_at(self, route: str, host: str) -> None:
        """A virtual host comes or goes, or is of other VirtualServices or offers."""
        of, node = self.routed[route], _node(route, host)
        if host in of.hosts or host in of.secure:
            self.add(VIRTUAL_HOST, node, Phase.PART, partial(self._host, route, host))
            self.mark(VIRTUAL_HOST, node)
        else:
            self.remove(VIRTUAL_HOST, node)

    def slots(self, node: Node) -> Iterable[tuple[str, str]]:
        if node.kind == OF_GATEWAYS:
            return ((ROUTE, name) for name in self._configurations(node.name))
        return super().slots(node)

    # --- values -----------------------------------------------------------------------------------------------------

    def _host(self, route: str, host: str, reader: Reader) -> Fragment | None:
        key = edge.host(self.scope, host, self.routed[route].serving(host), reader)
        if key is None:
            self.forget_patches(VIRTUAL_HOST, _node(route, host))
            return None
        return self._made(_node(route, host), route, key, reader)

    def _made(self, at: str, route: str, key: VirtualHostKey, reader: Reader) -> Fragment:
        return self.with_patches(at, virtual_host(key), route, key.name, reader) or REMOVED

    def _of_gateways(self, route: str, reader: Reader) -> tuple[str, ...]:
        gateways = self.routed[route].plan.gateways
        reader.take_part_in(gateways)
        return gateways

    def _place(self, node: Node, old: Fragment | None, new: Fragment | None) -> None:
        super()._place(node, old, new)
        route, (host, _) = route_of(node.name)
        of = self.routed.get(route)
        if of is None:
            return
        before = bool(of.there)
        (of.there.discard if new is None else of.there.add)(host)
        if bool(of.there) != before:
            self._join_again(route)

    def _assemble(self, route: str, name: str, reader: Reader) -> Resource:
        of = self.routed[route]
        if of.there:
            self.forget_patches(VIRTUAL_HOST, last_host(route))
            hosts = self.fragments[name].ordered()
        else:
            hosts = (self._made(last_host(route), route, edge.nowhere(of.plan, reader), reader),)
        return route_configuration(
            RouteConfigurationKey(
                name=name,
                virtual_hosts=hosts,
                ignore_port=True,
                http3=of.plan.http3,
            )
        )

    def _domains_of(self, route: str, owner: Owner) -> Iterable[str]:
        return (owner[0],)


def _node(route: str, host: str) -> str:
    """As `SharedView` calls virtual hosts; of a gateway's they are not told apart by port."""
    return f"{route} {host} 0"
