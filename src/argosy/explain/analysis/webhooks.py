"""Webhooks of Istio's control plane: that they do not overlap, and lead somewhere. Of Kubernetes alone.

# Istio: analyzers/webhook, externalcontrolplane
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from urllib.parse import urlsplit

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.selectors import INJECT, INJECTION, REVISION
from argosy.explain.analysis.world import Item, World
from argosy.model.hostnames import is_address

VALIDATORS = ("istio-validator", "istiod-default-validator")
INJECTOR = "istio-sidecar-injector"
Hook = tuple[Item, int, Json]


def injectors(world: World) -> Iterator[Finding]:
    """Whatever a namespace and a pod are labelled, at most one webhook may inject; and its Service must be there."""
    hooks = [
        (config, index, hook)
        for config in world.of("MutatingWebhookConfiguration")
        if _of_istio(config)
        for index, hook in parts.objects(config.body, "webhooks")
    ]
    revisions = dict.fromkeys(
        revision for config in world.of("MutatingWebhookConfiguration") for revision in _revisions(config)
    )
    for around, own in product(
        _labelled(INJECTION, ("enabled", "disabled"), revisions),
        _labelled(INJECT, ("true", "false"), revisions),
    ):
        matching = [hook for hook in hooks if _matches(hook[2], around, own)]
        for hook in matching if len(matching) > 1 else ():
            others = parts.joined(_called(other) for other in matching if other is not hook)
            yield _invalid(hook, f"injects where {others} does too; exclude each other's labels")
    for hook in hooks:
        service = parts.mapping(hook[2], "clientConfig", "service")
        namespace, name = parts.text(service, "namespace"), parts.text(service, "name")
        if name and world.get("Service", namespace, name) is None:
            yield _invalid(
                hook,
                f"Service {namespace}/{name} of the control plane is not there; create it or correct the name",
            )


def _invalid(hook: Hook, problem: str) -> Finding:
    config, index, body = hook
    return found(
        "InvalidWebhook", config, f"webhooks[{index}]", webhook=parts.text(body, "name"), problem=problem
    )


def _called(hook: Hook) -> str:
    return f"{hook[0].name}/{parts.text(hook[2], 'name')}"


def _of_istio(config: Item) -> bool:
    names = (parts.text(hook, "name") for _, hook in parts.objects(config.body, "webhooks"))
    return bool(_revisions(config)) or any(name.endswith("istio.io") for name in names)


def _revisions(config: Item) -> list[str]:
    """All that its label and its selectors speak of."""
    found = [config.labels[REVISION]] if REVISION in config.labels else []
    for _, hook in parts.objects(config.body, "webhooks"):
        for selector in ("namespaceSelector", "objectSelector"):
            found += [
                value for key, value in parts.labels(hook, selector, "matchLabels").items() if key == REVISION
            ]
            for _, expression in parts.objects(hook, selector, "matchExpressions"):
                if parts.text(expression, "key") == REVISION:
                    found += parts.texts(expression, "values")
    return found


def _labelled(key: str, values: tuple[str, ...], revisions: Mapping[str, None]) -> list[dict[str, str]]:
    """Every way to label a namespace or a pod that makes a difference to injection."""
    own: list[dict[str, str]] = [{}, *({key: value} for value in values)]
    return own + [each | {REVISION: revision} for revision in revisions for each in own]


def _matches(hook: Json, around: Mapping[str, str], own: Mapping[str, str]) -> bool:
    return parts.label_selector_selects(
        parts.at(hook, "namespaceSelector"), around
    ) and parts.label_selector_selects(parts.at(hook, "objectSelector"), own)


def control_plane_elsewhere(world: World) -> Iterator[Finding]:
    """Whether the name can be resolved is not asked: analysis waits for nobody."""
    for config in world.of("ValidatingWebhookConfiguration"):
        if config.name.startswith(VALIDATORS):
            yield from _addresses(config)
    for config in world.of("MutatingWebhookConfiguration"):
        if config.name.startswith(INJECTOR):
            yield from _addresses(config)


def _addresses(config: Item) -> Iterator[Finding]:
    for index, hook in parts.objects(config.body, "webhooks"):
        client = parts.mapping(hook, "clientConfig")
        name, field = parts.text(hook, "name"), f"webhooks[{index}].clientConfig.url"
        url = parts.text(client, "url")
        if not url:
            if not parts.mapping(client, "service"):
                yield found(
                    "InvalidExternalControlPlaneConfig",
                    config,
                    field,
                    webhook=name,
                    url=url,
                    problem="is empty",
                )
            continue
        host = _host(url)
        if host is None:
            problem = "is no URL with a host"
            yield found(
                "InvalidExternalControlPlaneConfig", config, field, webhook=name, url=url, problem=problem
            )
        elif is_address(host):
            yield found("ExternalControlPlaneAddressIsNotAHostname", config, field, webhook=name, url=url)


def _host(url: str) -> str | None:
    try:
        split = urlsplit(url)
        split.port  # noqa: B018  a port that is no number is found here
    except ValueError:
        return None
    host = split.hostname
    return host if host and not any(c.isspace() or c in '%<>"' for c in host) else None


ANALYZERS = (
    Analyzer(
        name="webhook.Analyzer",
        description="Injection webhooks: that they do not overlap, and that their Services are there",
        names=("InvalidWebhook",),
        run=injectors,
        kubernetes=True,
    ),
    Analyzer(
        name="externalcontrolplane.ExternalControlPlaneAnalyzer",
        description="Webhooks of a control plane elsewhere: that they have an address, by name",
        names=("InvalidExternalControlPlaneConfig", "ExternalControlPlaneAddressIsNotAHostname"),
        run=control_plane_elsewhere,
        kubernetes=True,
    ),
)
