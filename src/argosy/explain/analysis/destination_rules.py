"""DestinationRules: for whom they are, whom their subsets select, and whether TLS verifies anybody.

# Istio: analyzers/destinationrule
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.analysis import credentials, facts, parts
from argosy.explain.analysis.destinations import as_written
from argosy.explain.analysis.facts import full
from argosy.explain.analysis.index import selector_of
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.virtual_services import CREATE_SERVICE
from argosy.explain.analysis.world import Item, Workload, World

VERIFYING = ("SIMPLE", "MUTUAL")
TOPOLOGY = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)
HOSTNAME = "kubernetes.io/hostname"


def host_there(world: World, item: Item) -> Iterator[Finding]:
    written = parts.text(item.spec, "host")
    host = full(world, item, written)
    if not _known(world, item, host):
        value = as_written(written, host)
        yield found("UnknownDestinationRuleHost", item, "spec.host", value=value, remedy=CREATE_SERVICE)


def _known(world: World, item: Item, host: str) -> bool:
    namespaces = [item.namespace if each == "." else each for each in parts.texts(item.spec, "exportTo")]
    if facts.reached(world, host, [*namespaces, item.namespace]):
        return True
    return host.startswith("*") and facts.any_under(world, host)


def certificates_verified(_world: World, item: Item) -> Iterator[Finding]:
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


def subsets_select(world: World, item: Item) -> Iterator[Finding]:
    """Of a host that is known: what is not is said elsewhere."""
    host = full(world, item, parts.text(item.spec, "host"))
    if not _known(world, item, host):
        return
    service = _selector_of(world, host)
    endpoints = _endpoint_labels(world, host)
    for index, subset in parts.objects(item.spec, "subsets"):
        own = parts.labels(subset, "labels")
        if not _some(world, service | own) and not any(parts.selects(own, labels) for labels in endpoints):
            yield found(
                "DestinationRuleSubsetNotSelectPods",
                item,
                f"spec.subsets[{index}]",
                host=host,
                subset=parts.text(subset, "name"),
                labels=parts.written(own) or "none",
            )


def _some(world: World, labels: dict[str, str]) -> bool:
    """Whether a workload has these labels, those included that the registry adds of the node it runs on. # Istio:
    labels of locality"""
    of_node = {key: labels[key] for key in (*TOPOLOGY, HOSTNAME) if key in labels}
    own = {key: value for key, value in labels.items() if key not in of_node}
    return any(
        parts.selects(of_node, dict(workload.labels) | _node_labels(world, workload))
        for workload in world.selected(own)
    )


def _node_labels(world: World, workload: Workload) -> dict[str, str]:
    name = parts.text(workload.item.spec, "nodeName") if workload.item else ""
    node = world.get("Node", "", name) if name else None
    if node is None:
        return {}
    return {key: node.labels[key] for key in TOPOLOGY if key in node.labels} | {HOSTNAME: name}


def _selector_of(world: World, host: str) -> dict[str, str]:
    """The labels that workloads of a service have anyhow; {} where only its endpoints know."""
    behind = world.index.under("service", host)
    for kind, path in (("Service", ("selector",)), ("ServiceEntry", ("workloadSelector", "labels"))):
        for each in behind:
            if each.kind == kind:
                return parts.labels(each.spec, *path)
    return {}


def _endpoint_labels(world: World, host: str) -> list[dict[str, str]]:
    """Of endpoints that ServiceEntries of the host name themselves."""
    return [
        parts.labels(endpoint, "labels")
        for entry in world.index.under("service", host)
        if entry.kind == "ServiceEntry"
        for _, endpoint in parts.objects(entry.spec, "endpoints")
    ]


def credentials_there(world: World, item: Item) -> Iterator[Finding]:
    """Of sidecars that a workloadSelector selects, in their namespace; else of gateways, in theirs."""
    named = [(field, tls) for field, tls in _tls(item.spec) if parts.text(tls, "credentialName")]
    if not named or not world.knows("Secret"):
        return
    spaces, where = [item.namespace], "where the selected workloads are"
    if "workloadSelector" not in item.spec:
        gateways = {
            each.namespace for one in world.of("Gateway") for each in world.selected(selector_of(one))
        }
        spaces, where = sorted(gateways), "where gateways run, which it is for"
    for field, tls in named if spaces else ():
        name, field = parts.text(tls, "credentialName"), f"{field}.credentialName"
        if parts.text(tls, "mode") == "MUTUAL":
            yield from credentials.named(world, item, field, name, spaces, where)
        elif parts.at(tls, "insecureSkipVerify") is not True:
            yield from credentials.authorities(world, item, field, name, spaces, where)


def _tls(spec: Json) -> Iterator[tuple[str, Json]]:
    policies = [("spec.trafficPolicy", parts.mapping(spec, "trafficPolicy"))]
    for index, subset in parts.objects(spec, "subsets"):
        policies.append((f"spec.subsets[{index}].trafficPolicy", parts.mapping(subset, "trafficPolicy")))
    for field, policy in policies:
        yield f"{field}.tls", parts.mapping(policy, "tls")
        for index, level in parts.objects(policy, "portLevelSettings"):
            yield f"{field}.portLevelSettings[{index}].tls", parts.mapping(level, "tls")


ANALYZERS = (
    Analyzer(
        name="destinationrule.CaCertificateAnalyzer",
        description="TLS of DestinationRules: that the server is verified",
        names=(
            "NoServerCertificateVerificationDestinationLevel",
            "NoServerCertificateVerificationPortLevel",
        ),
        kinds=("DestinationRule",),
        rules=(certificates_verified,),
    ),
    Analyzer(
        name="destinationrule.CredentialAnalyzer",
        description="Secrets of DestinationRules: that they are there and hold what TLS needs",
        names=("ReferencedResourceNotFound", "InvalidGatewayCredential"),
        kinds=("DestinationRule",),
        rules=(credentials_there,),
    ),
    Analyzer(
        name="destinationrule.HostAnalyzer",
        description="Hosts of DestinationRules: that a service has them",
        names=("UnknownDestinationRuleHost",),
        kinds=("DestinationRule",),
        rules=(host_there,),
    ),
    Analyzer(
        name="destinationrule.PodNotSelectedAnalyzer",
        description="Subsets of DestinationRules: that they select workloads",
        names=("DestinationRuleSubsetNotSelectPods",),
        kinds=("DestinationRule",),
        rules=(subsets_select,),
    ),
)
