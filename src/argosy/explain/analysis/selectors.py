"""Objects that select workloads: that there are some, and that no two are for the same where one alone counts.

# Istio: analyzers/sidecar, telemetry, authz, k8sgateway
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.world import Item, Workload, World

REDIRECTION = ("ambient.istio.io/redirection", "enabled")
DATAPLANE_MODE = "istio.io/dataplane-mode"
INJECTION = "istio-injection"
INJECT = "sidecar.istio.io/inject"
REVISION = "istio.io/rev"
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
PROXY_CONTAINER = "istio-proxy"


def of_sidecar(item: Item) -> dict[str, str]:
    return parts.labels(item.spec, "workloadSelector", "labels")


def of_policy(item: Item) -> dict[str, str]:
    return parts.labels(item.spec, "selector", "matchLabels")


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


def _shared(
    world: World, items: dict[str, tuple[Item, dict[str, str]]]
) -> Iterator[tuple[Workload, list[Item]]]:
    """Each workload with the objects that select it, where they are several."""
    for workload in world.workloads:
        selecting = [
            item
            for item, selector in items.values()
            if item.namespace == workload.namespace and parts.selects(selector, workload.labels)
        ]
        if len(selecting) > 1:
            yield workload, selecting


def _in_ambient(workload: Workload) -> bool:
    return workload.item is not None and workload.item.annotations.get(REDIRECTION[0]) == REDIRECTION[1]


def namespace_in_ambient(namespace: Item | None) -> bool:
    """A namespace that says sidecars are injected has sidecars."""
    if namespace is None or namespace.labels.get(INJECTION) == "enabled" or namespace.labels.get(REVISION):
        return False
    return namespace.labels.get(DATAPLANE_MODE) == "ambient"


def sidecars(world: World) -> Iterator[Finding]:
    selecting = {item.owner: (item, of_sidecar(item)) for item in world.of("Sidecar") if of_sidecar(item)}
    without_effect: set[str] = set()
    for owner, (item, selector) in selecting.items():
        selected = world.selected(selector, item.namespace)
        if not selected:
            yield _nothing_selected(item, "spec.workloadSelector", selector)
        elif any(_in_ambient(workload) for workload in selected):
            without_effect.add(owner)
            reason = "a workload it selects is in ambient mode and has no sidecar"
            yield found("IneffectivePolicy", item, "spec.workloadSelector", reason=reason)
    for workload, items in _shared(world, selecting):
        for item in () if _in_ambient(workload) else items:
            yield found(
                "ConflictingSidecarWorkloadSelectors",
                item,
                "spec.workloadSelector",
                owners=_owners(items),
                workload=f"{workload.namespace}/{workload.name}",
            )
    for namespace, items in _whole_namespace(world, "Sidecar").items():
        if namespace_in_ambient(world.namespace(namespace)):
            for item in items:
                reason = "its namespace is in ambient mode, whose workloads have no sidecar"
                yield found("IneffectivePolicy", item, reason=reason)
        elif len(items) > 1:
            for item in items:
                yield found("MultipleSidecarsWithoutWorkloadSelectors", item, owners=_owners(items))


def _whole_namespace(world: World, kind: str) -> dict[str, list[Item]]:
    grouped: dict[str, list[Item]] = {}
    for item in world.of(kind):
        if not (of_sidecar(item) if kind == "Sidecar" else of_policy(item) or _named(item)):
            grouped.setdefault(item.namespace, []).append(item)
    return grouped


def _named(item: Item) -> bool:
    """Whether it names what it is for, instead of selecting it."""
    return bool(parts.at(item.spec, "targetRef") or parts.at(item.spec, "targetRefs"))


def telemetries(world: World) -> Iterator[Finding]:
    selecting = {
        item.owner: (item, of_policy(item))
        for item in world.of("Telemetry")
        if of_policy(item) and not _named(item)
    }
    for item, selector in selecting.values():
        if not world.selected(selector, item.namespace):
            yield _nothing_selected(item, "spec.selector", selector)
    for workload, items in _shared(world, selecting):
        for item in items:
            yield found(
                "ConflictingTelemetryWorkloadSelectors",
                item,
                "spec.selector",
                owners=_owners(items),
                workload=f"{workload.namespace}/{workload.name}",
            )


def telemetries_of_namespaces(world: World) -> Iterator[Finding]:
    for items in _whole_namespace(world, "Telemetry").values():
        for item in items if len(items) > 1 else ():
            yield found("MultipleTelemetriesWithoutWorkloadSelectors", item, owners=_owners(items))


def authorization_policies(world: World) -> Iterator[Finding]:
    for item in world.of("AuthorizationPolicy"):
        yield from _selected(world, item)
        yield from _namespaces(world, item)


def _selected(world: World, item: Item) -> Iterator[Finding]:
    """One in the root namespace is for the whole mesh; one with targetRefs is for what they name."""
    if _named(item):
        return
    meshwide = item.namespace == world.root_namespace
    has_selector = isinstance(parts.at(item.spec, "selector"), dict)
    if meshwide and not has_selector:
        return
    selector = of_policy(item)
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


def _namespaces(world: World, item: Item) -> Iterator[Finding]:
    known = [namespace.name for namespace in world.of("Namespace")]
    for r, rule in parts.objects(item.spec, "rules"):
        for f, source in parts.objects(rule, "from"):
            for field in ("namespaces", "notNamespaces"):
                for n, pattern in enumerate(parts.texts(source, "source", field)):
                    if not any(_matches(pattern, name) for name in known):
                        yield found(
                            "ReferencedResourceNotFound",
                            item,
                            f"spec.rules[{r}].from[{f}].source.{field}[{n}]",
                            value=pattern,
                            missing="no such namespace",
                            remedy="create it or correct the name",
                        )


def _matches(pattern: str, name: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name == pattern


POLICIES = ("AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin")


def kubernetes_gateways(world: World) -> Iterator[Finding]:
    """Pods of a Gateway of the Kubernetes Gateway API are told by targetRefs, never by their labels."""
    pods = [pod for pod in world.of("Pod") if GATEWAY_NAME in pod.labels]
    for item in world.of(*POLICIES):
        if _named(item) or not parts.mapping(item.spec, "selector"):
            continue
        for pod in pods:
            if pod.namespace == item.namespace and parts.selects(of_policy(item), pod.labels):
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
        run=sidecars,
    ),
    Analyzer(
        name="telemetry.SelectorAnalyzer",
        description="Telemetries: that they select workloads, and no two the same",
        names=("ReferencedResourceNotFound", "ConflictingTelemetryWorkloadSelectors"),
        run=telemetries,
    ),
    Analyzer(
        name="telemetry.DefaultSelectorAnalyzer",
        description="Telemetries for a whole namespace, of which one counts",
        names=("MultipleTelemetriesWithoutWorkloadSelectors",),
        run=telemetries_of_namespaces,
    ),
    Analyzer(
        name="authz.AuthorizationPoliciesAnalyzer",
        description="AuthorizationPolicies: that the workloads and namespaces they name are there",
        names=("NoMatchingWorkloadsFound", "ReferencedResourceNotFound"),
        run=authorization_policies,
    ),
    Analyzer(
        name="k8sgateway.SelectorAnalyzer",
        description="Policies that select a Gateway of the Kubernetes Gateway API by labels",
        names=("IneffectiveSelector",),
        run=kubernetes_gateways,
    ),
)
