"""What policy decides at one proxy, as extension configurations (ECDS) of its own view."""

from __future__ import annotations

from argosy.model import ir, policies
from argosy.model.ir.tokens import TokenRule
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType
from argosy.translate import extension
from argosy.translate.filters.authorization import BEFORE_TOKENS, Layer, Slot
from argosy.translate.proxy import Proxy
from argosy.translate.resource import Resource


def told_apart(port: int, bind: int) -> int:
    """Where Envoy sees another port than policies speak of, each port has rules of its own."""
    return 0 if port == bind else port


def mode(reader: Reader, proxy: Proxy, number: int) -> ir.MtlsMode:
    workload = reader.workload(proxy.namespace, proxy.name)
    labels = workload.labels if workload else proxy.labels
    return reader.peer_mtls(proxy.namespace, labels, number)


def peer_authentication(proxy: Proxy, number: int, reader: Reader) -> Resource:
    key = extension.PeerAuthenticationKey(port=number, mode=mode(reader, proxy, number))
    return extension.peer_authentication(key)


def _token_rules(reader: Reader, proxy: Proxy) -> tuple[TokenRule, ...]:
    workload = reader.workload(proxy.namespace, proxy.name)
    return reader.token_rules(proxy.namespace, workload.labels if workload else proxy.labels)


def claim_headers(proxy: Proxy, reader: Reader) -> Resource:
    told = {name for rule in _token_rules(reader, proxy) for name in rule.told_headers}
    return extension.claim_headers(extension.ClaimHeadersKey(headers=tuple(sorted(told))))


def request_authentication(proxy: Proxy, reader: Reader) -> Resource:
    rules = _token_rules(reader, proxy)
    reroutes = bool(rules) and proxy.type is ProxyType.ROUTER
    return extension.request_authentication(
        extension.RequestAuthenticationKey(rules=rules, reroutes=reroutes)
    )


def authorization(proxy: Proxy, layer: Layer, slot: Slot, apart: int, reader: Reader) -> Resource:
    workload = reader.workload(proxy.namespace, proxy.name)
    held = reader.authorization(proxy.namespace, workload.labels if workload else proxy.labels)
    if slot in BEFORE_TOKENS:
        asking = ir.Authorization(custom=held.custom)
        whom = policies.authorizer(asking, proxy.scope, reader) if asking.custom else None
    else:
        asking, whom = ir.Authorization(**{slot.value: getattr(held, slot.value)}), None
    return extension.authorization(
        extension.AuthorizationKey(layer=layer, slot=slot, told_apart=apart, policies=asking, authorizer=whom)
    )
