"""Configuration lowered as far as one object alone allows: what the Snapshot keeps.

What depends on the calling proxy (source labels, gateways, port) or on other objects (a destination's port, a
delegate, mesh defaults) is still open here; `routing`, `destinations` and `gateways` close it for a scope.
Rule: equal structs mean the same; an object that lowers to what is already there changes nothing.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.model import ir
from argosy.model.envoy_patches import EnvoyPatch
from argosy.model.locality import FAILOVER, LocalityBalancing
from argosy.model.scope import Selector, SelectorUse


class Target(Struct, frozen=True, gc=False):
    """A destination as written, its host in full; `port` None: to be inferred from the service."""

    host: str
    port: int | None = None
    subset: str = ""
    port_name: str = ""  # in place of the number


class WeightedTarget(Struct, frozen=True):
    target: Target
    weight: int = 1
    headers: ir.HeaderOps | None = None


class MirrorTarget(Struct, frozen=True):
    target: Target
    percent: float = 100.0


class Source(Struct, frozen=True, kw_only=True):
    """Which proxies a match is for. ALL of what is set must hold."""

    port: int = 0  # 0: every port
    gateways: tuple[str, ...] = ()  # (): those of the VirtualService
    labels: ir.Pairs = ()
    namespace: str = ""
    subnet: str = ""  # in which its address is: of a connection, where the proxy sees where it comes from

    @property
    def selector(self) -> Selector | None:
        return Selector(SelectorUse.SOURCE, self.labels) if self.labels else None

    @property
    def selectors(self) -> frozenset[Selector]:
        subnet = Selector(SelectorUse.SUBNET, (("", self.subnet),)) if self.subnet else None
        return frozenset(one for one in (self.selector, subnet) if one is not None)


class HttpMatch(Struct, frozen=True, kw_only=True):
    name: str = ""
    match: ir.RouteMatch = ir.RouteMatch()
    source: Source = Source()
    stat_prefix: str = ""


class Delegation(Struct, frozen=True):
    namespace: str
    name: str


class HttpRule(Struct, frozen=True, kw_only=True):
    """One HTTPRoute. ANY of `matches` must hold; none at all matches everything. Exactly one of `targets`, `redirect`,
    `direct` and `delegate` is there."""

    name: str = ""
    matches: tuple[HttpMatch, ...] = ()
    targets: tuple[WeightedTarget, ...] = ()
    redirect: ir.Redirect | None = None
    direct: ir.DirectResponse | None = None
    delegate: Delegation | None = None
    timeout: int | None = None
    retry: ir.RetryPolicy | None = None  # attempts 0: no retries; None: the mesh's default
    rewrite: ir.Rewrite | None = None
    mirrors: tuple[MirrorTarget, ...] = ()
    fault: ir.Fault | None = None
    headers: ir.HeaderOps | None = None
    cors: ir.Cors | None = None


class L4Match(Struct, frozen=True, kw_only=True):
    source: Source = Source()
    subnets: tuple[str, ...] = ()  # destination networks, ANY
    sni_hosts: tuple[str, ...] = ()  # tls only, ANY


class L4Rule(Struct, frozen=True):
    """One TCPRoute or TLSRoute. ANY of `matches`; none at all matches everything."""

    matches: tuple[L4Match, ...]
    targets: tuple[WeightedTarget, ...]


class VirtualServiceRule(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    created: str = ""
    hosts: tuple[str, ...] = ()  # in full, in the order written; (): a delegate
    gateways: tuple[str, ...] = ()  # `mesh` or namespace/name
    export_to: tuple[str, ...] = ()  # (): as the mesh says
    http: tuple[HttpRule, ...] = ()
    tcp: tuple[L4Rule, ...] = ()
    tls: tuple[L4Rule, ...] = ()

    @property
    def age(self) -> tuple[str, str, str]:
        """Sorts the oldest first; of the same age by name. Facts: Istio's order of configuration."""
        return (self.created, self.name, self.namespace)


class PolicyParts(Struct, frozen=True, kw_only=True):
    """A trafficPolicy with what was written and nothing else, so that a subset can inherit field by field."""

    load_balancer: BalancerParts | None = None
    connection_pool: ir.ConnectionPool | None = None
    outlier: ir.OutlierDetection | None = None
    tls: ir.ClientTls | None = None
    proxy_protocol: str = ""
    retry_budget: ir.RetryBudget | None = None
    tunnel: ir.Tunnel | None = None
    ports: tuple[
        tuple[int, PolicyParts], ...
    ] = ()  # portLevelSettings, sorted by port, their own `ports` empty


class BalancerParts(Struct, frozen=True, kw_only=True):
    kind: ir.LoadBalancer = ir.LoadBalancer.LEAST_REQUEST
    hash: ir.HashPolicy | None = None
    minimum_ring_size: int | None = None
    maglev_table_size: int | None = None
    warmup: ir.Warmup | None = None
    locality: LocalityBalancing | None = None


class SubsetRule(Struct, frozen=True):
    name: str
    labels: ir.Pairs
    policy: PolicyParts | None = None


class DestinationRuleRule(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    host: str
    created: str = ""
    export_to: tuple[str, ...] = ()  # (): as the mesh says
    selector: Selector | None = None
    policy: PolicyParts | None = None
    subsets: tuple[SubsetRule, ...] = ()

    @property
    def age(self) -> tuple[str, str, str]:
        return (self.created, self.name, self.namespace)

    @property
    def traits(self) -> frozenset[str]:
        """What it asks of clients, see `locality`."""
        top = self.policy or PolicyParts()
        wholes = [top, *(subset.policy for subset in self.subsets if subset.policy)]
        ports = [port for whole in wholes for _, port in whole.ports]
        balancers = [one.load_balancer or top.load_balancer for one in wholes]
        balancers += [port.load_balancer for port in ports]
        settings = {balancer.locality if balancer else None for balancer in balancers}
        asked = [setting.traits for setting in settings if setting]
        if None in settings and any(one.outlier for one in (*wholes, *ports)):
            asked.append(frozenset((FAILOVER,)))
        return frozenset[str]().union(*asked)


class GatewayRule(Struct, frozen=True, kw_only=True, cache_hash=True):
    namespace: str
    name: str
    created: str = ""
    selector: Selector | None = None  # None: every gateway proxy
    servers: tuple[ir.GatewayServer, ...] = ()
    services: tuple[str, ...] | None = None  # of which the proxy must be an instance; None: no matter

    @property
    def age(self) -> tuple[str, str, str]:
        return (self.created, self.name, self.namespace)

    @property
    def auto_passthrough(self) -> tuple[str, ...]:
        """The hosts whose connections are passed on by the cluster that their server name is."""
        passing = (
            one for one in self.servers if one.tls and one.tls.mode is ir.ServerTlsMode.AUTO_PASSTHROUGH
        )
        return tuple(dict.fromkeys(name for server in passing for name in server.server_names))


class PeerAuthenticationRule(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    created: str = ""
    labels: ir.Pairs | None = None  # None: the whole namespace (of the root namespace: the mesh)
    mode: ir.MtlsMode | None = None  # None: inherited
    ports: tuple[tuple[int, ir.MtlsMode | None], ...] = ()  # workload ports, sorted

    @property
    def age(self) -> tuple[str, str, str]:
        return (self.created, self.name, self.namespace)

    @property
    def group(self) -> str:
        """Of the policies that the same workloads look at; see `policy_groups`."""
        return policy_group(self.namespace, self.labels[0] if self.labels else None)


def policy_groups(namespace: str, labels: ir.Pairs) -> tuple[str, ...]:
    """The groups in which a workload's policies are: that of the whole namespace, and one for each of its labels.

    A selector stands in the group of its first label: who lacks that is not selected, and is not concerned.
    """
    return (policy_group(namespace, None), *(policy_group(namespace, label) for label in labels))


def policy_group(namespace: str, label: tuple[str, str] | None) -> str:
    return namespace if label is None else f"{namespace}|{label[0]}={label[1]}"


class ProxyPatch(Struct, frozen=True):
    """One of an EnvoyFilter's configPatches."""

    index: int  # in spec.configPatches
    patch: EnvoyPatch
    node: Selector | None = None  # None: every proxy


class EnvoyFilterRule(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    created: str = ""
    priority: int = 0
    selectors: tuple[Selector, ...] | None = None  # ANY; None: every proxy of the namespace
    patches: tuple[ProxyPatch, ...] = ()

    @property
    def age(self) -> tuple[str, str, str]:
        return (self.created, self.name, self.namespace)

    @property
    def groups(self) -> frozenset[str]:
        """Of the EnvoyFilters that the same proxies look at: those of a whole namespace, or of a selector."""
        if self.selectors is None:
            return frozenset((self.namespace,))
        return frozenset(selector.id for selector in self.selectors)
