"""ProxyConfig: what a proxy is started with.

# Istio: networking/v1beta1/proxy_config.proto
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from argosy.resources.meta import Object, Status
from argosy.resources.selector import WorkloadSelector


class ProxyImage(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The image that a proxy in a container runs from."""

    image_type: str = ""
    """The variant of the image: default, debug or distroless."""


class ProxyConfigSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and what their proxies are started with."""

    selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all; in the root namespace: the whole mesh."""
    concurrency: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    """How many worker threads a proxy has; 0: one for each core."""
    environment_variables: dict[str, Annotated[str, Meta(max_length=2048)]] = {}
    """Environment variables of the proxy."""
    image: ProxyImage | None = None
    """The image that a proxy in a container runs from."""


class ProxyConfig(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What proxies are started with. A change takes effect when a proxy is started again."""

    spec: ProxyConfigSpec = ProxyConfigSpec()
    """Which workloads, and what their proxies are started with."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""
