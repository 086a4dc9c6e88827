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
from argosy.translate.joined import VirtualHosts
from argosy.translate.patches import subject as subjects
from argosy.translate.resource import ROUTE, Resource
from argosy.translate.route import (
    RouteConfigurationKey,
    VirtualHostKey,
    route_configuration,
    virtual_host,
)
from argosy.translate.shared import SharedView, last_host

GATEWAY_PLAN = "gateways"
BOUND = "bound/"
REMOVED = Fragment(b"")
"""A virtual host that an EnvoyFilter takes away: there is one less, and yet something is served."""


class _Routes(Struct, eq=False):
    """A RouteConfiguration as it stands."""

    plan: RoutePlan
    place: dict[Offer, int] = {}  # in the order of the plan
    secure: dict[str, tuple[Offer, ...]] = {}  # hosts that some offers redirect to https, served or not
    hosts: dict[str, dict[Name, tuple[Offer, ...]]] = {}  # the VirtualServices of each host

    def follow(self, plan: RoutePlan) -> None:
        self.plan = plan
        self.place = {offer: at for at, offer in enumerate(plan.offers)}
        secure: dict[str, list[Offer]] = {}
        for offer in plan.offers:
            for name in offer.names if offer.redirects else ():
                secure.setdefault(name, []).append(offer)
        self.secure = {host: tuple(offers) for host, offers in secure.items()}

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
            self.fragments[plan.name] = VirtualHosts()
            self.add(ROUTE, plan.name, Phase.ASSEMBLY, partial(self._joined, plan.name))
        elif of.plan == plan:
            return
        before, secure = of.place, of.secure
        of.follow(plan)
        for host in secure.keys() | of.secure.keys():
            if secure.get(host) != of.secure.get(host):
                self._look_at(plan.name, host)
        if [one for one in before if one in of.place] != [one for one in of.place if one in before]:
            for host in of.hosts:  # the order of Gateways is another one
                self.mark(VIRTUAL_HOST, _node(plan.name, host))
        self.mark(ROUTE, plan.name)

    def _no_route(self, route: str) -> None:
        of = self.routed.pop(route)
        for host in of.hosts.keys() | of.secure.keys():
            self.remove(VIRTUAL_HOST, _node(route, host))
        del self.fragments[route]
        self.remove(ROUTE, route)
        self.forget_patches(VIRTUAL_HOST, last_host(route))

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
        for (route, host), offers in before.items():
            of = self.routed.get(route)
            if of is None or after.get((route, host)) == offers:
                continue
            held = of.hosts.get(host, {})
            held.pop(name, None)
            if not held:
                of.hosts.pop(host, None)
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

    # --- values -----------------------------------------------------------------------------------------------------

    def _host(self, route: str, host: str, reader: Reader) -> Fragment | None:
        key = edge.host(self.scope, host, self.routed[route].serving(host), reader)
        if key is None:
            self.forget_patches(VIRTUAL_HOST, _node(route, host))
            return None
        return self._made(_node(route, host), route, key, reader)

    def _made(self, at: str, route: str, key: VirtualHostKey, reader: Reader) -> Fragment:
        made = virtual_host(key)
        if not self.of_hosts:
            self.forget_patches(VIRTUAL_HOST, at)
            return made
        subject = subjects.virtual_host(self.side, route, key.name)
        return self.patched_host(at, made, subject, self.of_hosts, reader) or REMOVED

    def _joined(self, route: str, reader: Reader) -> Resource:
        plan = self.routed[route].plan
        reader.take_part_in(plan.gateways)
        hosts = self.fragments[route].ordered()
        if hosts:
            self.forget_patches(VIRTUAL_HOST, last_host(route))
        else:
            hosts = (self._made(last_host(route), route, edge.nowhere(plan, reader), reader),)
        return route_configuration(
            RouteConfigurationKey(name=route, virtual_hosts=hosts, ignore_port=True, http3=plan.http3)
        )


def _node(route: str, host: str) -> str:
    """As `SharedView` calls virtual hosts; of a gateway's they are not told apart by port."""
    return f"{route} {host} 0"
