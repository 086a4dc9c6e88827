"""Objects that select workloads: that there are some, and that no two are for the same where one alone counts.

# Istio: analyzers/sidecar, telemetry, authz, k8sgateway
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from argosy.explain.analysis import facts, parts
from argosy.explain.analysis.index import named, selector_of
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.world import Item, Workload, World
from argosy.model.hostnames import EVERYWHERE, patterns

REDIRECTION = ("ambient.istio.io/redirection", "enabled")
DATAPLANE_MODE = "istio.io/dataplane-mode"
INJECTION = "istio-injection"
INJECT = "sidecar.istio.io/inject"
REVISION = "istio.io/rev"
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
PROXY_CONTAINER = "istio-proxy"


def _nothing_selected(item: Item, field: str, selector: Mapping[str, str]) -> Finding:
    return found(
        "ReferencedResourceNotFound",
        item,
        field,
        value=parts.written(selector),
        missing=f"no workload of namespace {item.namespace} has these labels",
        remedy="correct the selector, or start the workload",
    )


def _owners(items: list[Item]) -> str:
    return " and ".join(f"{each.kind} {each.owner}" for each in items)


def _in_ambient(workload: Workload) -> bool:
    return workload.item is not None and workload.item.annotations.get(REDIRECTION[0]) == REDIRECTION[1]


def namespace_in_ambient(namespace: Item | None) -> bool:
    """A namespace that says sidecars are injected has sidecars."""
    if namespace is None or namespace.labels.get(INJECTION) == "enabled" or namespace.labels.get(REVISION):
        return False
    return namespace.labels.get(DATAPLANE_MODE) == "ambient"


def sidecars(world: World, item: Item) -> Iterator[Finding]:
    selector = selector_of(item)
    if not selector:
        yield from _whole_namespace(world, item)
        return
    selected = list(world.selected(selector, item.namespace))
    if not selected:
        yield _nothing_selected(item, "spec.workloadSelector", selector)
    elif any(map(_in_ambient, selected)):
        reason = "a workload it selects is in ambient mode and has no sidecar"
        yield found("IneffectivePolicy", item, "spec.workloadSelector", reason=reason)
    for workload in selected:
        if not _in_ambient(workload):
            yield from _shared(
                world, item, workload, "spec.workloadSelector", "ConflictingSidecarWorkloadSelectors"
            )


def egress_there(world: World, item: Item) -> Iterator[Finding]:
    """That each host of an egress means something: a service, or what a VirtualService of sidecars routes."""
    if not world.knows("Service", "ServiceEntry"):
        return
    for e, egress in parts.objects(item.spec, "egress"):
        for h, written in enumerate(parts.texts(egress, "hosts")):
            space, slash, host = written.partition("/")
            space = item.namespace if space == "." else space
            if not slash or space == "~" or host == "*" or _imported(world, item, space, host):
                continue
            place = "any namespace" if space == EVERYWHERE else f"namespace {space}"
            yield found(
                "ReferencedResourceNotFound",
                item,
                f"spec.egress[{e}].hosts[{h}]",
                value=written,
                missing=f"no service of {place} has this host, or it is not exported to {item.namespace}",
                remedy="create the Service or ServiceEntry, or correct the host, which is written in full",
            )


def _imported(world: World, item: Item, space: str, host: str) -> bool:
    topics = [("under", host)] if host.startswith("*") else []
    topics += [(topic, pattern) for topic in ("service", "routes") for pattern in patterns(host)]
    return any(
        space in (EVERYWHERE, each.namespace) and facts.seen_from(world, each, item.namespace)
        for topic in topics
        for each in world.index.under(*topic)
    )


def _shared(world: World, item: Item, workload: Workload, field: str, name: str) -> Iterator[Finding]:
    """Whether others select it too; all are named in the order of their age, whoever is asked about."""
    others = [each for each in facts.selecting(world, item.kind, workload) if each.owner != item.owner]
    if others:
        owners = _owners([item, *others])
        yield found(name, item, field, owners=owners, workload=f"{workload.namespace}/{workload.name}")


def _whole_namespace(world: World, item: Item) -> Iterator[Finding]:
    if namespace_in_ambient(world.namespace(item.namespace)):
        reason = "its namespace is in ambient mode, whose workloads have no sidecar"
        yield found("IneffectivePolicy", item, reason=reason)
        return
    yield from _only_one(world, item, "MultipleSidecarsWithoutWorkloadSelectors")


def _only_one(world: World, item: Item, name: str) -> Iterator[Finding]:
    """Objects for a whole namespace, of which one counts."""
    others = [
        each
        for each in world.index.under("whole", item.kind, item.namespace)
        if each.owner != item.owner and not named(each)
    ]
    if others:
        yield found(name, item, owners=_owners([item, *others]))


def entries_select(world: World, item: Item) -> Iterator[Finding]:
    selector = parts.labels(item.spec, "workloadSelector", "labels")
    if selector and not any(world.selected(selector, item.namespace)):
        yield _nothing_selected(item, "spec.workloadSelector", selector)


def telemetries(world: World, item: Item) -> Iterator[Finding]:
    selector = selector_of(item)
    if not selector or named(item):
        return
    selected = list(world.selected(selector, item.namespace))
    if not selected:
        yield _nothing_selected(item, "spec.selector", selector)
    for workload in selected:
        yield from _shared(world, item, workload, "spec.selector", "ConflictingTelemetryWorkloadSelectors")


def telemetries_of_namespaces(world: World, item: Item) -> Iterator[Finding]:
    if not selector_of(item) and not named(item):
        yield from _only_one(world, item, "MultipleTelemetriesWithoutWorkloadSelectors")


def policies_select(world: World, item: Item) -> Iterator[Finding]:
    """One in the root namespace is for the whole mesh; one with targetRefs is for what they name."""
    if named(item):
        return
    meshwide = item.namespace == world.root_namespace
    has_selector = isinstance(parts.at(item.spec, "selector"), dict)
    if meshwide and not has_selector:
        return
    selector = selector_of(item)
    selected = world.selected(selector, "" if meshwide else item.namespace)
    if not any(in_mesh(world, workload) for workload in selected):
        by = f" by {parts.written(selector)}" if selector else f" in namespace {item.namespace}"
        yield found("NoMatchingWorkloadsFound", item, "spec.selector" if has_selector else "", by=by)


def in_mesh(world: World, workload: Workload) -> bool:
    """A pod is where it has a proxy, is redirected to one, or is to get one; other workloads joined by themselves."""
    item = workload.item
    if item is None or item.kind != "Pod":
        return True
    if _in_ambient(workload) or has_proxy(item.spec):
        return True
    for said in (item.labels, item.annotations):
        if INJECT in said:
            return said[INJECT] == "true"
    namespace = world.namespace(item.namespace)
    return namespace is not None and (
        namespace.labels.get(INJECTION) == "enabled"
        or (INJECTION not in namespace.labels and bool(namespace.labels.get(REVISION)))
    )


def has_proxy(pod_spec: dict[str, object]) -> bool:
    return any(
        parts.text(container, "name") == PROXY_CONTAINER and parts.text(container, "image")
        for field in ("containers", "initContainers")
        for _, container in parts.objects(pod_spec, field)
    )


def namespaces_there(world: World, item: Item) -> Iterator[Finding]:
    for r, rule in parts.objects(item.spec, "rules"):
        for f, source in parts.objects(rule, "from"):
            for field in ("namespaces", "notNamespaces"):
                for n, pattern in enumerate(parts.texts(source, "source", field)):
                    if not _some_namespace(world, pattern):
                        yield found(
                            "ReferencedResourceNotFound",
                            item,
                            f"spec.rules[{r}].from[{f}].source.{field}[{n}]",
                            value=pattern,
                            missing="no such namespace",
                            remedy="create it or correct the name",
                        )


def _some_namespace(world: World, pattern: str) -> bool:
    if "*" not in pattern:
        return world.namespace(pattern) is not None
    return any(_matches(pattern, each.name) for each in world.of("Namespace"))


def _matches(pattern: str, name: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name == pattern


POLICIES = ("AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin")


def kubernetes_gateways(world: World, item: Item) -> Iterator[Finding]:
    """Pods of a Gateway of the Kubernetes Gateway API are told by targetRefs, never by their labels."""
    if named(item) or not parts.mapping(item.spec, "selector"):
        return
    for pod in world.index.under("kind", "Pod", item.namespace):
        if GATEWAY_NAME in pod.labels and parts.selects(selector_of(item), pod.labels):
            yield found("IneffectiveSelector", item, "spec.selector", gateway=pod.labels[GATEWAY_NAME])


ANALYZERS = (
    Analyzer(
        name="sidecar.SelectorAnalyzer",
        description="Sidecars: that they select workloads, and no two the same",
        names=(
            "ReferencedResourceNotFound",
            "ConflictingSidecarWorkloadSelectors",
            "MultipleSidecarsWithoutWorkloadSelectors",
            "IneffectivePolicy",
        ),
        kinds=("Sidecar",),
        rules=(sidecars,),
    ),
    Analyzer(
        name="sidecar.EgressAnalyzer",
        description="Egress hosts of Sidecars: that a service has them",
        names=("ReferencedResourceNotFound",),
        kinds=("Sidecar",),
        rules=(egress_there,),
    ),
    Analyzer(
        name="serviceentry.SelectorAnalyzer",
        description="ServiceEntries with a workloadSelector: that it selects workloads",
        names=("ReferencedResourceNotFound",),
        kinds=("ServiceEntry",),
        rules=(entries_select,),
    ),
    Analyzer(
        name="telemetry.SelectorAnalyzer",
        description="Telemetries: that they select workloads, and no two the same",
        names=("ReferencedResourceNotFound", "ConflictingTelemetryWorkloadSelectors"),
        kinds=("Telemetry",),
        rules=(telemetries,),
    ),
    Analyzer(
        name="telemetry.DefaultSelectorAnalyzer",
        description="Telemetries for a whole namespace, of which one counts",
        names=("MultipleTelemetriesWithoutWorkloadSelectors",),
        kinds=("Telemetry",),
        rules=(telemetries_of_namespaces,),
    ),
    Analyzer(
        name="authz.AuthorizationPoliciesAnalyzer",
        description="AuthorizationPolicies: that the workloads and namespaces they name are there",
        names=("NoMatchingWorkloadsFound", "ReferencedResourceNotFound"),
        kinds=("AuthorizationPolicy",),
        rules=(policies_select, namespaces_there),
    ),
    Analyzer(
        name="k8sgateway.SelectorAnalyzer",
        description="Policies that select a Gateway of the Kubernetes Gateway API by labels",
        names=("IneffectiveSelector",),
        kinds=POLICIES,
        rules=(kubernetes_gateways,),
    ),
)
