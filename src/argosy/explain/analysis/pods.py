"""What asks of pods, and of how sidecars get into them: of Kubernetes alone.

# Istio: analyzers/injection, deployment (ApplicationUIDAnalyzer)
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.selectors import (
    DATAPLANE_MODE,
    INJECT,
    INJECTION,
    PROXY_CONTAINER,
    REVISION,
    has_proxy,
)
from argosy.explain.analysis.services import of_control_plane
from argosy.explain.analysis.world import INFRASTRUCTURE, SYSTEM_NAMESPACE, Item, World

PROXY_UID = 1337
INJECTOR = "istio-sidecar-injector"
PROXY_IMAGE = "sidecar.istio.io/proxyImage"
IMAGE_TYPE = "sidecar.istio.io/proxyImageType"
AUTO = "auto"


def injection(world: World) -> Iterator[Finding]:
    injected = set()
    for namespace in world.of("Namespace"):
        if namespace.name in INFRASTRUCTURE or namespace.name == SYSTEM_NAMESPACE:
            continue
        labels = namespace.labels
        own, revision = labels.get(INJECTION), labels.get(REVISION)
        chosen = [
            f"{key}={labels[key]}"
            for key in (INJECTION, REVISION, DATAPLANE_MODE)
            if key in labels and (key == INJECTION or own in (None, "enabled"))
        ]
        if len(chosen) > 1:
            yield found(
                "NamespaceMultipleInjectionLabels", namespace, "metadata.labels", labels=parts.joined(chosen)
            )
        if labels.get(DATAPLANE_MODE) == "ambient":
            continue
        if not own and revision is None:
            if _by_default(world, revision):
                yield found("NamespaceInjectionEnabledByDefault", namespace)
            else:
                yield found("NamespaceNotInjected", namespace)
            continue
        if len(chosen) == 1 and (revision is not None or own == "enabled"):
            injected.add(namespace.name)
    for pod in world.of("Pod"):
        refused = pod.labels.get(INJECT, pod.annotations.get(INJECT, "")).lower() == "false"
        if pod.namespace not in injected or refused or parts.at(pod.spec, "hostNetwork") is True:
            continue
        if not has_proxy(pod.spec):
            yield found("PodMissingProxy", pod)


def _injector(world: World, revision: str | None) -> Json:
    """The values with which the injector of a revision works; {}: it is not known."""
    name = INJECTOR if revision in (None, "", "default") else f"{INJECTOR}-{revision}"
    config = next((each for each in world.of("ConfigMap") if each.name == name), None)
    if config is None:
        return {}
    try:
        return parts.mapping(msgspec.json.decode(parts.text(config.body, "data", "values")))
    except msgspec.DecodeError:
        return {}


def _by_default(world: World, revision: str | None) -> bool:
    return parts.at(_injector(world, revision), "sidecarInjectorWebhook", "enableNamespacesByDefault") is True


def images(world: World) -> Iterator[Finding]:
    outdated: dict[str, list[str]] = {}
    for pod in world.of("Pod"):
        namespace = world.namespace(pod.namespace)
        if namespace is None or PROXY_IMAGE in pod.annotations:
            continue
        revision = namespace.labels.get(REVISION)
        if revision is None and namespace.labels.get(INJECTION) != "enabled":
            continue
        allowed = _images(world, revision, pod.annotations.get(IMAGE_TYPE, ""))
        for field in ("containers", "initContainers"):
            for _, container in parts.objects(pod.spec, field):
                is_proxy = parts.text(container, "name") == PROXY_CONTAINER
                if allowed and is_proxy and parts.text(container, "image") not in allowed:
                    outdated.setdefault(pod.namespace, []).append(pod.name)
    for name, pods in outdated.items():
        namespace = world.namespace(name)
        if namespace is not None:
            yield found("PodsIstioProxyImageMismatchInNamespace", namespace, pods=parts.joined(pods))


def _images(world: World, revision: str | None, own_type: str) -> tuple[str, ...]:
    """The image that is injected, and its variants that the mesh or the pod asks for; (): it is not known."""
    values = _injector(world, revision)
    image = parts.text(values, "global", "proxy", "image")
    if not image or "/" in image:
        return (image,) if image else ()
    plain = f"{parts.text(values, 'global', 'hub')}/{image}:{parts.at(values, 'global', 'tag')}"
    asked = (own_type, parts.text(world.mesh, "defaultConfig", "image", "imageType"))
    return (plain, *(f"{plain}-{each}" for each in asked if each))


def automatic_images(world: World) -> Iterator[Finding]:
    webhooks = [
        webhook
        for config in world.of("MutatingWebhookConfiguration")
        for _, webhook in parts.objects(config.body, "webhooks")
        if parts.text(webhook, "name").endswith("istio.io")
    ]
    for pod in world.of("Pod"):
        if _automatic(pod.spec):
            yield found("ImageAutoWithoutInjectionError", pod)
    for deployment in world.of("Deployment"):
        template = parts.mapping(deployment.spec, "template")
        if not _automatic(parts.mapping(template, "spec")):
            continue
        namespace = world.namespace(deployment.namespace)
        around = namespace.labels if namespace else {}
        own = parts.labels(template, "metadata", "labels")
        if not any(
            parts.label_selector_selects(parts.at(webhook, "namespaceSelector"), around)
            and parts.label_selector_selects(parts.at(webhook, "objectSelector"), own)
            for webhook in webhooks
        ):
            yield found("ImageAutoWithoutInjectionWarning", deployment)


def _automatic(pod_spec: Json) -> bool:
    return any(
        parts.text(container, "name") == PROXY_CONTAINER and parts.text(container, "image") == AUTO
        for _, container in parts.objects(pod_spec, "containers")
    )


def users(world: World) -> Iterator[Finding]:
    """The proxy's traffic is told from the application's by its user."""
    for item in world.of("Pod", "Deployment"):
        pod_spec = item.spec if item.kind == "Pod" else parts.mapping(item.spec, "template", "spec")
        if of_control_plane(item):
            continue
        told = [pod_spec] + [
            container
            for _, container in parts.objects(pod_spec, "containers")
            if parts.text(container, "name") != PROXY_CONTAINER
        ]
        if any(parts.number(each, "securityContext", "runAsUser") == PROXY_UID for each in told):
            yield found("InvalidApplicationUID", item)


def keys_fetched(world: World) -> Iterator[Finding]:
    policies = [f"RequestAuthentication {each.owner}" for each in world.of("RequestAuthentication")]
    for deployment in world.of("Deployment") if policies else ():
        if deployment.labels.get("app") == "istiod" and not _bounded(deployment):
            listed = parts.joined(policies[:5]) + (
                f" and {len(policies) - 5} more" if len(policies) > 5 else ""
            )
            yield found("JwksUriFetchUnrestricted", deployment, policies=listed)


def _bounded(deployment: Item) -> bool:
    return any(
        parts.text(variable, "name") == "BLOCKED_CIDRS_IN_JWKS_URIS"
        and (parts.text(variable, "value") or "valueFrom" in variable)
        for _, container in parts.objects(deployment.spec, "template", "spec", "containers")
        for _, variable in parts.objects(container, "env")
    )


ANALYZERS = (
    Analyzer(
        name="injection.Analyzer",
        description="Namespaces and pods: whether they are to have sidecars, and have them",
        names=(
            "NamespaceNotInjected",
            "NamespaceInjectionEnabledByDefault",
            "NamespaceMultipleInjectionLabels",
            "PodMissingProxy",
        ),
        run=injection,
        kubernetes=True,
    ),
    Analyzer(
        name="injection.ImageAnalyzer",
        description="Pods whose proxy is not of the image that is injected",
        names=("PodsIstioProxyImageMismatchInNamespace",),
        run=images,
        kubernetes=True,
    ),
    Analyzer(
        name="injection.ImageAutoAnalyzer",
        description="Pods and Deployments with `image: auto`: that injection replaces it",
        names=("ImageAutoWithoutInjectionError", "ImageAutoWithoutInjectionWarning"),
        run=automatic_images,
        kubernetes=True,
    ),
    Analyzer(
        name="deployment.ApplicationUIDAnalyzer",
        description="Applications that run as the sidecar's user",
        names=("InvalidApplicationUID",),
        run=users,
        kubernetes=True,
    ),
    Analyzer(
        name="authn.BlockedCIDRsAnalyzer",
        description="Istio's control plane: that it does not fetch keys of tokens from everywhere",
        names=("JwksUriFetchUnrestricted",),
        run=keys_fetched,
    ),
)
