"""The Reader that also says where its answers were written, and what was passed over on the way to them.

Rule: an answer and its origin come of the same walk through the same rules, so they cannot disagree; origins stand
beside results, in their order, and never in them (results are memo keys). For messages alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from argosy.model import gateways, ir, routing
from argosy.model.hostnames import MESH_GATEWAY, patterns, visible_from
from argosy.model.reader import Reader
from argosy.model.routing import Place
from argosy.model.rules import HttpMatch, L4Rule, VirtualServiceRule
from argosy.model.scope import Scope
from argosy.model.updates import Ref


class Written(Struct, frozen=True):
    """A place in an object: `spec.http[1].match[0]` of a VirtualService."""

    ref: Ref
    field: str = ""
    root: Ref | None = None  # the VirtualService that delegated to this one …
    root_field: str = ""  # … and where


class PassedOver(Struct, frozen=True):
    """What might have decided and did not."""

    written: Written
    reason: str


class Provenance(Reader):
    __slots__ = ()

    # --- routes -----------------------------------------------------------------------------------------------------

    def route_origins(self, scope: Scope, hostname: str, port: int) -> tuple[Written, ...]:
        """In the order of `route_table`'s routes."""
        place = Place(scope, MESH_GATEWAY, port)
        for rule in self._virtual_services(scope, hostname, port):
            if found := tuple(written for written, _ in self._open(rule, place)):
                return found
        return ()

    def routes_passed_over(self, scope: Scope, hostname: str, port: int) -> tuple[PassedOver, ...]:
        """VirtualServices for sidecars and this host that had no say, and matches that are not for this caller."""
        place = Place(scope, MESH_GATEWAY, port)
        found: list[PassedOver] = []
        decided: VirtualServiceRule | None = None
        sidecar = self.sidecar(scope)
        for pattern in patterns(hostname):
            for rule in self._snapshot.virtual_services.by_host.get(pattern):
                if not visible_from(rule.export_to, scope.namespace):
                    seen = ", ".join(rule.export_to) or "nobody"
                    found.append(
                        PassedOver(whole(rule), f"it is exported to {seen}, not to {scope.namespace}")
                    )
                elif sidecar is not None and not sidecar.imports_rule(rule, port):
                    found.append(PassedOver(whole(rule), f"Sidecar {sidecar.id} does not import it"))
                elif decided is not None:
                    why = "is older" if pattern in decided.hosts else "names the host more exactly"
                    found.append(PassedOver(whole(rule), f"VirtualService {label(decided)} {why}"))
                else:
                    found += self._shut(rule, place)
                    if any(True for _ in self._open(rule, place)):
                        decided = rule
        return tuple(found)

    def gateway_origins(
        self, scope: Scope, gateway: str, port: int
    ) -> tuple[tuple[str, tuple[Written, ...]], ...]:
        """(host, origins in the order of its routes) as `gateway_hosts` has them."""
        place = Place(scope, gateway, port)
        found: dict[str, list[tuple[Written, HttpMatch]]] = {}
        for bound, hosts in self._bound(scope, gateway, port):
            opened = list(self._open(bound, place))
            for host in hosts:
                if opened:
                    found.setdefault(host, []).extend(opened)
        return tuple(
            (host, tuple(opened[at][0] for at in gateways.order([match.match for _, match in opened])))
            for host, opened in sorted(found.items())
        )

    def gateway_passed_over(self, scope: Scope, gateway: str, port: int) -> tuple[PassedOver, ...]:
        """VirtualServices bound to a Gateway that serves none of their hosts on the port, or that are not seen."""
        serving = {(bound.namespace, bound.name) for bound, _ in self._bound(scope, gateway, port)}
        place = Place(scope, gateway, port)
        found: list[PassedOver] = []
        for rule in self._snapshot.virtual_services.by_gateway.get(gateway):
            if not visible_from(rule.export_to, scope.namespace):
                seen = ", ".join(rule.export_to) or "nobody"
                found.append(PassedOver(whole(rule), f"it is exported to {seen}, not to {scope.namespace}"))
            elif (rule.namespace, rule.name) not in serving:
                hosts = ", ".join(rule.hosts)
                found.append(
                    PassedOver(
                        whole(rule), f"Gateway {gateway} serves none of its hosts ({hosts}) on port {port}"
                    )
                )
            else:
                found += self._shut(rule, place)
        return tuple(found)

    def _open(self, rule: VirtualServiceRule, place: Place) -> Iterator[tuple[Written, HttpMatch]]:
        rules = list(self._written_rules(rule))
        for position, index, _, match in routing.open_matches((http for *_, http in rules), place):
            owner, own_position, root_position, _ = rules[position]
            yield _written(rule, owner, own_position, root_position, index), match

    def _shut(self, rule: VirtualServiceRule, place: Place) -> Iterator[PassedOver]:
        for owner, own_position, root_position, http in self._written_rules(rule):
            for index, match in enumerate(http.matches):
                if why := routing.hindrance(match.source, place):
                    yield PassedOver(_written(rule, owner, own_position, root_position, index), why)

    # --- TCP and TLS ------------------------------------------------------------------------------------------------

    def tcp_origin(self, scope: Scope, hostname: str, port: int) -> Written | None:
        """Of `tcp_destinations`."""
        place = Place(scope, MESH_GATEWAY, port)
        service = self.service(hostname)
        addresses = service.addresses if service is not None else ()
        for rule in self._virtual_services(scope, hostname, port):
            for found, _ in routing.l4_matches(
                rule.tcp, place, lambda match: routing.reaches(match, addresses)
            ):
                return Written(whole(rule).ref, f"spec.tcp[{_position(rule.tcp, found)}]")
        return None

    def tls_origins(self, scope: Scope, hostname: str, port: int) -> tuple[Written, ...]:
        """In the order of `tls_routes`."""
        place = Place(scope, MESH_GATEWAY, port)
        for rule in self._virtual_services(scope, hostname, port):
            found = tuple(
                Written(whole(rule).ref, f"spec.tls[{_position(rule.tls, tls)}]")
                for tls, _ in routing.l4_matches(rule.tls, place, lambda match: True)
            )
            if found:
                return found
        return ()

    # --- destinations and policy ------------------------------------------------------------------------------------

    def service_origins(self, hostname: str) -> tuple[Ref, ...]:
        """The objects that `service` was made from."""
        self.service(hostname)
        return self._snapshot.origins(hostname)

    def destination_origins(self, scope: Scope, hostname: str) -> tuple[Ref, ...]:
        """The DestinationRules that `destination` is merged of, the one whose policy counts first."""
        rules = self._destination_rules(scope, hostname)
        return tuple(("DestinationRule", rule.namespace, rule.name) for rule in rules)

    def peer_origin(self, namespace: str, labels: ir.Pairs, workload_port: int) -> Ref | None:
        """The PeerAuthentication that decides `peer_mtls`; None where none does."""
        rule = self._peer_policy(namespace, labels, workload_port)[1]
        return ("PeerAuthentication", rule.namespace, rule.name) if rule is not None else None


def whole(rule: VirtualServiceRule) -> Written:
    return Written(("VirtualService", rule.namespace, rule.name))


def label(rule: VirtualServiceRule) -> str:
    return f"{rule.namespace}/{rule.name}"


def _written(
    rule: VirtualServiceRule, owner: VirtualServiceRule, position: int, root: int, index: int | None
) -> Written:
    field = f"spec.http[{position}]"
    if owner is not rule:  # of a delegate's match nothing is left but what it and the root's say together
        return Written(whole(owner).ref, field, whole(rule).ref, f"spec.http[{root}]")
    return Written(whole(rule).ref, field if index is None else f"{field}.match[{index}]")


def _position(rules: tuple[L4Rule, ...], wanted: L4Rule) -> int:
    return next(position for position, rule in enumerate(rules) if rule is wanted)
