"""DestinationRules: for whom they are, whom their subsets select, and whether TLS verifies anybody.

# Istio: analyzers/destinationrule
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from argosy.explain.analysis import parts
from argosy.explain.analysis.destinations import as_written
from argosy.explain.analysis.facts import Facts, WorldFacts, reached
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.virtual_services import CREATE_SERVICE
from argosy.explain.analysis.world import Item, Workload, World
from argosy.model.hostnames import full_name

VERIFYING = ("SIMPLE", "MUTUAL")
TOPOLOGY = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)
HOSTNAME = "kubernetes.io/hostname"


def host_there(facts: Facts, item: Item) -> Iterator[Finding]:
    written = parts.text(item.spec, "host")
    host = full_name(written, item.namespace, facts.domain_suffix)
    if not _known(facts, item, host):
        value = as_written(written, host)
        yield found("UnknownDestinationRuleHost", item, "spec.host", value=value, remedy=CREATE_SERVICE)


def _known(facts: Facts, item: Item, host: str) -> bool:
    namespaces = [item.namespace if each == "." else each for each in parts.texts(item.spec, "exportTo")]
    if reached(facts, host, [*namespaces, item.namespace]):
        return True
    return host.startswith("*") and facts.any_under(host)


def certificates_verified(_facts: object, item: Item) -> Iterator[Finding]:
    policy, host = parts.mapping(item.spec, "trafficPolicy"), parts.text(item.spec, "host")
    selected = "workloadSelector" in item.spec
    tls = parts.mapping(policy, "tls")
    if _unverified(tls, selected):
        yield found(
            "NoServerCertificateVerificationDestinationLevel",
            item,
            "spec.trafficPolicy.tls",
            mode=parts.text(tls, "mode"),
            host=host,
        )
    for index, level in parts.objects(policy, "portLevelSettings"):
        tls = parts.mapping(level, "tls")
        if _unverified(tls, selected):
            yield found(
                "NoServerCertificateVerificationPortLevel",
                item,
                f"spec.trafficPolicy.portLevelSettings[{index}].tls",
                mode=parts.text(tls, "mode"),
                host=host,
                port=parts.number(level, "port", "number"),
            )


def _unverified(tls: Json, selected: bool) -> bool:
    """A credential is fetched by sidecars only where the rule says by a selector whose it is; else by gateways."""
    if parts.text(tls, "mode") not in VERIFYING or parts.text(tls, "caCertificates"):
        return False
    return not (parts.text(tls, "credentialName") and selected)


RULES: tuple[Callable[[Facts, Item], Iterator[Finding]], ...] = (host_there, certificates_verified)
"""Those that are asked at apply, too."""


def hosts_there(world: World) -> Iterator[Finding]:
    facts = WorldFacts(world)
    for item in world.of("DestinationRule"):
        yield from host_there(facts, item)


def all_verified(world: World) -> Iterator[Finding]:
    for item in world.of("DestinationRule"):
        yield from certificates_verified(None, item)


def subsets_select(world: World) -> Iterator[Finding]:
    """Of a host that is known: what is not is said elsewhere."""
    facts, nodes = WorldFacts(world), {node.name: node.labels for node in world.of("Node")}
    for item in world.of("DestinationRule"):
        host = full_name(parts.text(item.spec, "host"), item.namespace, world.domain_suffix)
        if not _known(facts, item, host):
            continue
        service = _selector_of(world, host)
        there = [_labels(each, nodes) for each in world.workloads]
        endpoints = _endpoint_labels(world, host)
        for index, subset in parts.objects(item.spec, "subsets"):
            own = parts.labels(subset, "labels")
            if not any(parts.selects(service | own, labels) for labels in there) and not any(
                parts.selects(own, labels) for labels in endpoints
            ):
                yield found(
                    "DestinationRuleSubsetNotSelectPods",
                    item,
                    f"spec.subsets[{index}]",
                    host=host,
                    subset=parts.text(subset, "name"),
                    labels=parts.written(own) or "none",
                )


def _selector_of(world: World, host: str) -> dict[str, str]:
    """The labels that workloads of a service have anyhow; {} where only its endpoints know."""
    name, _, rest = host.partition(".")
    service = world.get("Service", rest.partition(".")[0], name)
    if service is not None and host == f"{name}.{service.namespace}.svc.{world.domain_suffix}":
        return parts.labels(service.spec, "selector")
    for entry in world.of("ServiceEntry"):
        if host in parts.texts(entry.spec, "hosts"):
            return parts.labels(entry.spec, "workloadSelector", "labels")
    return {}


def _endpoint_labels(world: World, host: str) -> list[dict[str, str]]:
    """Of endpoints that ServiceEntries of the host name themselves."""
    return [
        parts.labels(endpoint, "labels")
        for entry in world.of("ServiceEntry")
        if host in parts.texts(entry.spec, "hosts")
        for _, endpoint in parts.objects(entry.spec, "endpoints")
    ]


def _labels(workload: Workload, nodes: dict[str, dict[str, str]]) -> dict[str, str]:
    """With those that the registry adds of the node it runs on. # Istio: labels of locality"""
    found = dict(workload.labels)
    node = parts.text(workload.item.spec, "nodeName") if workload.item else ""
    if node in nodes:
        found |= {key: nodes[node][key] for key in TOPOLOGY if key in nodes[node]} | {HOSTNAME: node}
    return found


ANALYZERS = (
    Analyzer(
        name="destinationrule.CaCertificateAnalyzer",
        description="TLS of DestinationRules: that the server is verified",
        names=(
            "NoServerCertificateVerificationDestinationLevel",
            "NoServerCertificateVerificationPortLevel",
        ),
        run=all_verified,
    ),
    Analyzer(
        name="destinationrule.HostAnalyzer",
        description="Hosts of DestinationRules: that a service has them",
        names=("UnknownDestinationRuleHost",),
        run=hosts_there,
    ),
    Analyzer(
        name="destinationrule.PodNotSelectedAnalyzer",
        description="Subsets of DestinationRules: that they select workloads",
        names=("DestinationRuleSubsetNotSelectPods",),
        run=subsets_select,
    ),
)
