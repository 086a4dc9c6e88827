"""Istio's annotations: where each belongs and whether it is deprecated; and what their values may be.

# Istio: reference/config/annotations
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

from msgspec import Struct

ANY, POD, SERVICE, NAMESPACE = "Any", "Pod", "Service", "Namespace"


class Annotation(Struct, frozen=True):
    kinds: tuple[str, ...]
    deprecated: bool = False
    instead: str = ""


def _of(kinds: tuple[str, ...], text: str, *, deprecated: bool = False) -> dict[str, Annotation]:
    return {name: Annotation(kinds, deprecated) for name in text.split()}


ANNOTATIONS: Mapping[str, Annotation] = {
    **_of(
        (ANY,),
        """
        galley.istio.io/analyze-suppress install.operator.istio.io/chart-owner
        install.operator.istio.io/owner-generation install.operator.istio.io/version
        """,
    ),
    **_of(
        (POD,),
        """
        ambient.istio.io/bypass-inbound-capture ambient.istio.io/dns-capture ambient.istio.io/redirection
        inject.istio.io/templates istio.io/rev istio.io/reroute-virtual-interfaces
        prometheus.istio.io/merge-metrics proxy.istio.io/config proxy.istio.io/overrides
        readiness.status.sidecar.istio.io/applicationPorts readiness.status.sidecar.istio.io/failureThreshold
        readiness.status.sidecar.istio.io/initialDelaySeconds readiness.status.sidecar.istio.io/periodSeconds
        sidecar.istio.io/agentLogLevel sidecar.istio.io/bootstrapOverride sidecar.istio.io/componentLogLevel
        sidecar.istio.io/enableCoreDump sidecar.istio.io/interceptionMode sidecar.istio.io/logLevel
        sidecar.istio.io/nativeSidecar sidecar.istio.io/proxyCPU sidecar.istio.io/proxyCPULimit
        sidecar.istio.io/proxyImage sidecar.istio.io/proxyImageType sidecar.istio.io/proxyMemory
        sidecar.istio.io/proxyMemoryLimit sidecar.istio.io/rewriteAppHTTPProbers
        sidecar.istio.io/statsCompression sidecar.istio.io/statsHistogramBuckets sidecar.istio.io/status
        sidecar.istio.io/userVolume sidecar.istio.io/userVolumeMount status.sidecar.istio.io/port
        traffic.sidecar.istio.io/excludeInboundPorts traffic.sidecar.istio.io/excludeInterfaces
        traffic.sidecar.istio.io/excludeOutboundIPRanges traffic.sidecar.istio.io/excludeOutboundPorts
        traffic.sidecar.istio.io/includeInboundPorts traffic.sidecar.istio.io/includeOutboundIPRanges
        traffic.sidecar.istio.io/includeOutboundPorts
        """,
    ),
    **_of(
        (POD,),
        """
        alpha.istio.io/identity sidecar.istio.io/controlPlaneAuthPolicy sidecar.istio.io/discoveryAddress
        sidecar.istio.io/extraStatTags sidecar.istio.io/statsInclusionPrefixes
        sidecar.istio.io/statsInclusionRegexps sidecar.istio.io/statsInclusionSuffixes
        traffic.sidecar.istio.io/kubevirtInterfaces
        """,
        deprecated=True,
    ),
    "sidecar.istio.io/inject": Annotation((POD,), True, "; write the label of the same name"),
    **_of(
        (SERVICE,),
        "alpha.istio.io/canonical-serviceaccounts alpha.istio.io/kubernetes-serviceaccounts",
        deprecated=True,
    ),
    **_of((SERVICE, "ServiceEntry"), "networking.istio.io/traffic-distribution"),
    **_of((SERVICE,), "networking.istio.io/exportTo traffic.istio.io/nodeSelector"),
    **_of((SERVICE, "Gateway"), "networking.istio.io/service-type networking.istio.io/address-type"),
    **_of((NAMESPACE,), "topology.istio.io/controlPlaneClusters"),
    **_of(("Ingress",), "kubernetes.io/ingress.class"),
    **_of(("AuthorizationPolicy",), "istio.io/dry-run"),
    **_of(
        ("WorkloadEntry",),
        """
        istio.io/autoRegistrationGroup istio.io/connectedAt istio.io/disconnectedAt istio.io/workloadController
        proxy.istio.io/health-checks-enabled
        """,
    ),
    **_of(("GatewayClass",), "ambient.istio.io/waypoint-inbound-binding"),
    **_of(
        ("Gateway",),
        "gateway.istio.io/controller-version gateway.istio.io/name-override gateway.istio.io/service-account",
    ),
    **_of((SERVICE, "ServiceEntry"), "networking.istio.io/service-scope"),
    **_of(
        (ANY,),
        "internal.istio.io/parents internal.istio.io/gateway-service internal.istio.io/gateway-semantics "
        "internal.istio.io/service-account-name internal.istio.io/route-semantics",
    ),
}


def _ranges(text: str) -> str:
    for part in text.split(","):
        try:
            ipaddress.ip_network(part.strip(), strict=False)
        except ValueError:
            return "is not a list of address ranges; write as 10.0.0.0/8,192.168.0.0/16"
    return ""


def _ports(text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    if all(part.isdecimal() and int(part) < 65536 for part in parts):
        return ""
    return "is not a list of ports; write as 80,443"


def _unsigned(text: str) -> str:
    return "" if text.isdecimal() and int(text) < 1 << 32 else "is not a number from 0"


def _port(text: str) -> str:
    return "" if text.isdecimal() and int(text) < 65536 else "is not a port"


def _boolean(text: str) -> str:
    known = ("1", "t", "true", "0", "f", "false")
    return "" if text.lower() in known else "is neither true nor false"


def _mode(text: str) -> str:
    return "" if text in ("REDIRECT", "TPROXY", "NONE") else "is none of REDIRECT, TPROXY, NONE"


def _quantity(text: str) -> str:
    wanted = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+|[numkKMGTPE]|[KMGTPE]i)?"
    return "" if re.fullmatch(wanted, text) else "is not a quantity; write as 100m or 128Mi"


def _any_or(check: Callable[[str], str], *others: str) -> Callable[[str], str]:
    return lambda text: "" if text in others else check(text)


VALUES: Mapping[str, Callable[[str], str]] = {
    "sidecar.istio.io/interceptionMode": _mode,
    "status.sidecar.istio.io/port": _port,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": _unsigned,
    "readiness.status.sidecar.istio.io/periodSeconds": _unsigned,
    "readiness.status.sidecar.istio.io/failureThreshold": _unsigned,
    "traffic.sidecar.istio.io/includeOutboundIPRanges": _any_or(_ranges, "*", ""),
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": _any_or(_ranges, ""),
    "traffic.sidecar.istio.io/includeInboundPorts": _any_or(_ports, "*", ""),
    "traffic.sidecar.istio.io/excludeInboundPorts": _any_or(_ports, ""),
    "traffic.sidecar.istio.io/excludeOutboundPorts": _any_or(_ports, ""),
    "prometheus.istio.io/merge-metrics": _boolean,
    "sidecar.istio.io/proxyCPU": _quantity,
    "sidecar.istio.io/proxyCPULimit": _quantity,
    "sidecar.istio.io/proxyMemory": _quantity,
    "sidecar.istio.io/proxyMemoryLimit": _quantity,
}
"""Why a value is wrong, as in `is not a port`; "": it is right."""
