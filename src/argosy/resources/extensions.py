"""Kinds of `extensions.istio.io`: code that proxies run on traffic.

# Istio: extensions/v1alpha1/{wasm,traffic_extension}.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from argosy.resources.kind import Kind
from argosy.resources.meta import Object, Status
from argosy.resources.security import TargetRefs, Text
from argosy.resources.selector import PolicyTargetReference, PortSelector, WorkloadSelector
from argosy.resources.telemetry import WorkloadMode

Sha256 = Annotated[str, Meta(pattern="(^$|^[a-f0-9]{64}$)")]
PullSecret = Annotated[str, Meta(min_length=1, max_length=253)]
PluginName = Annotated[str, Meta(min_length=1, max_length=256)]
Int32 = Annotated[int, Meta(ge=-2147483648, le=2147483647)]


class PluginPhase(StrEnum):
    UNSPECIFIED_PHASE = "UNSPECIFIED_PHASE"
    AUTHN = "AUTHN"
    AUTHZ = "AUTHZ"
    STATS = "STATS"


class PullPolicy(StrEnum):
    UNSPECIFIED_POLICY = "UNSPECIFIED_POLICY"
    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"


class FailStrategy(StrEnum):
    FAIL_CLOSE = "FAIL_CLOSE"
    FAIL_OPEN = "FAIL_OPEN"
    FAIL_RELOAD = "FAIL_RELOAD"


class PluginType(StrEnum):
    UNSPECIFIED_PLUGIN_TYPE = "UNSPECIFIED_PLUGIN_TYPE"
    HTTP = "HTTP"
    NETWORK = "NETWORK"


class EnvValueSource(StrEnum):
    INLINE = "INLINE"
    HOST = "HOST"


class EnvVar(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An environment variable that the code sees."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    """The name of the variable; once each."""
    value_from: EnvValueSource = EnvValueSource.INLINE
    """INLINE: `value` is its value; HOST: it is the proxy's own variable of that name."""
    value: Annotated[str, Meta(max_length=2048)] = ""
    """The value, where valueFrom is INLINE."""


class VmConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The machine that the code runs in."""

    env: Annotated[
        tuple[EnvVar, ...],
        Meta(
            max_length=256,
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """Environment variables that the code sees."""


class TrafficSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which traffic the code is run on: both must hold."""

    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER
    """CLIENT is what a workload sends, SERVER what it gets; a gateway is a client."""
    ports: Annotated[
        tuple[PortSelector, ...],
        Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number"]}),
    ] = ()
    """Ports of the listener, ANY of them; none: every port."""


class WasmPluginSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and which WebAssembly module."""

    url: Text
    """Where the module is: file://, http://, https:// or oci://; without a scheme it is an OCI image."""
    selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all; in the root namespace: the whole mesh."""
    target_ref: PolicyTargetReference | None = None
    """The object that it is attached to, in place of a selector; targetRefs is the newer form."""
    target_refs: TargetRefs = ()
    """What it is attached to, in place of a selector: Gateways, GatewayClasses, Services, ServiceEntries."""
    sha256: Sha256 = field(default="", name="sha256")
    """The module's checksum, in hexadecimal; it is not used where it differs."""
    image_pull_policy: PullPolicy = PullPolicy.UNSPECIFIED_POLICY
    """Whether an image is fetched where it is already there: IfNotPresent, or Always, the default of the tag latest."""
    image_pull_secret: PullSecret | None = None
    """The Secret of the namespace with the registry's credentials."""
    verification_key: str = ""
    """A public key of signed images; without effect in Istio, too."""
    plugin_config: dict[str, Any] | None = None
    """The settings that the module gets, as JSON."""
    plugin_name: PluginName | None = None
    """The name of the plugin within the module (its root id)."""
    phase: PluginPhase = PluginPhase.UNSPECIFIED_PHASE
    """Before what the module stands: AUTHN, AUTHZ or STATS; unspecified: at the end, before the router."""
    priority: Int32 | None = None
    """The order within a phase, highest first; 0 is the default."""
    fail_strategy: FailStrategy = FailStrategy.FAIL_CLOSE
    """Where the module fails: FAIL_CLOSE refuses traffic, FAIL_OPEN lets it through, FAIL_RELOAD starts it anew."""
    vm_config: VmConfig | None = None
    """The machine that the module runs in."""
    match: tuple[TrafficSelector, ...] = ()
    """Which traffic it is run on, ANY of them; none: all."""
    type: PluginType = PluginType.UNSPECIFIED_PLUGIN_TYPE
    """HTTP, the default, sees requests; NETWORK sees connections."""


class WasmPlugin(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A WebAssembly module that proxies run on traffic."""

    spec: WasmPluginSpec
    """Which workloads, and which module."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


class WasmConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A WebAssembly module."""

    url: Text
    """Where the module is: file://, http://, https:// or oci://; without a scheme it is an OCI image."""
    sha256: Sha256 = field(default="", name="sha256")
    """The module's checksum, in hexadecimal; it is not used where it differs."""
    image_pull_policy: PullPolicy = PullPolicy.UNSPECIFIED_POLICY
    """Whether an image is fetched where it is already there: IfNotPresent, or Always, the default of the tag latest."""
    image_pull_secret: PullSecret | None = None
    """The Secret of the namespace with the registry's credentials."""
    verification_key: str = ""
    """A public key of signed images; without effect in Istio, too."""
    plugin_config: dict[str, Any] | None = None
    """The settings that the module gets, as JSON."""
    plugin_name: PluginName | None = None
    """The name of the plugin within the module (its root id)."""
    fail_strategy: FailStrategy = FailStrategy.FAIL_CLOSE
    """Where the module fails: FAIL_CLOSE refuses traffic, FAIL_OPEN lets it through, FAIL_RELOAD starts it anew."""
    vm_config: VmConfig | None = None
    """The machine that the module runs in."""
    type: PluginType = PluginType.UNSPECIFIED_PLUGIN_TYPE
    """HTTP, the default, sees requests; NETWORK sees connections."""


class LuaConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A program in Lua."""

    inline_code: Annotated[str, Meta(min_length=1, max_length=65536)]
    """The program, with envoy_on_request, envoy_on_response or both; at most 64 KiB."""


class TrafficExtensionSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and which code: exactly one of `wasm` and `lua` is set."""

    selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all; in the root namespace: the whole mesh."""
    target_refs: TargetRefs = ()
    """What it is attached to, in place of a selector: Gateways, GatewayClasses, Services, ServiceEntries."""
    phase: PluginPhase = PluginPhase.UNSPECIFIED_PHASE
    """Before what the code stands: AUTHN, AUTHZ or STATS; unspecified: at the end, before the router."""
    priority: Int32 | None = None
    """The order within a phase, highest first; 0 is the default."""
    match: tuple[TrafficSelector, ...] = ()
    """Which traffic it is run on, ANY of them; none: all."""
    wasm: WasmConfig | None = None
    """A WebAssembly module."""
    lua: LuaConfig | None = None
    """A program in Lua."""


class TrafficExtension(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Code that proxies run on traffic: a WebAssembly module, or a program in Lua."""

    spec: TrafficExtensionSpec = TrafficExtensionSpec()
    """Which workloads, and which code."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


def _kind(struct: type[Object], plural: str) -> Kind:
    return Kind(
        group="extensions.istio.io",
        versions=("v1alpha1",),
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        categories=("istio-io", "extensions-istio-io"),
        struct=struct,
    )


KINDS = (
    _kind(WasmPlugin, "wasmplugins"),
    _kind(TrafficExtension, "trafficextensions"),
)
