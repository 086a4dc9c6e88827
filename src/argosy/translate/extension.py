"""Extension configurations (ECDS): policies that must apply at once, also on pooled connections."""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2
from msgspec import Struct

from argosy.model.ir import Authorization, MtlsMode
from argosy.model.ir.tokens import TokenRule
from argosy.model.providers import ExternalAuthorization
from argosy.translate import names, wire
from argosy.translate.filters import authorization as authorization_filter
from argosy.translate.filters import peer_authentication as peer_authentication_filter
from argosy.translate.filters import request_authentication as request_authentication_filter
from argosy.translate.filters.authorization import Layer, Slot
from argosy.translate.generator import generator


class PeerAuthenticationKey(Struct, frozen=True, kw_only=True):
    port: int  # the workload port
    mode: MtlsMode

    @property
    def name(self) -> str:
        return names.peer_authentication(self.port)


@generator
def peer_authentication(key: PeerAuthenticationKey) -> extension_pb2.TypedExtensionConfig:
    return wire.extension(key.name, peer_authentication_filter.config(key.mode))


class AuthorizationKey(Struct, frozen=True, kw_only=True):
    layer: Layer
    slot: Slot
    told_apart: int = 0  # see `names.authorization`
    policies: Authorization = Authorization()  # of the slot alone
    authorizer: ExternalAuthorization | None = None  # CUSTOM, EXT_AUTHZ: whom the policies ask

    @property
    def name(self) -> str:
        return names.authorization(self.layer, self.slot, self.told_apart)


@generator
def authorization(key: AuthorizationKey) -> extension_pb2.TypedExtensionConfig:
    made = authorization_filter.config(key.layer, key.slot, key.policies, key.authorizer, key.told_apart)
    return wire.extension(key.name, made)


class RequestAuthenticationKey(Struct, frozen=True, kw_only=True):
    rules: tuple[TokenRule, ...]
    reroutes: bool = False  # whether the route is chosen again where there was a valid token

    @property
    def name(self) -> str:
        return names.REQUEST_AUTHENTICATION


@generator
def request_authentication(key: RequestAuthenticationKey) -> extension_pb2.TypedExtensionConfig:
    return wire.extension(key.name, request_authentication_filter.config(key.rules, key.reroutes))


class ClaimHeadersKey(Struct, frozen=True, kw_only=True):
    headers: tuple[str, ...]

    @property
    def name(self) -> str:
        return names.CLAIM_HEADERS


@generator
def claim_headers(key: ClaimHeadersKey) -> extension_pb2.TypedExtensionConfig:
    return wire.extension(key.name, request_authentication_filter.claim_headers(key.headers))
