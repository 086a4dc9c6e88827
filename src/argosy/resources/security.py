"""Kinds of `security.istio.io`: who must speak mutual TLS.

# Istio: security/v1beta1/peer_authentication.proto, type/v1beta1/selector.proto
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.resources.meta import Object, Status


class WorkloadSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    match_labels: dict[str, str] = {}


class MutualTlsMode(StrEnum):
    UNSET = "UNSET"  # inherit
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class MutualTls(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    mode: MutualTlsMode = MutualTlsMode.UNSET


class PeerAuthenticationSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    selector: WorkloadSelector | None = None
    mtls: MutualTls | None = None
    port_level_mtls: dict[int, MutualTls] | None = None  # by workload port


class PeerAuthentication(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()
    status: Status = Status()
