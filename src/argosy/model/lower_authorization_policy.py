"""AuthorizationPolicy to `AuthorizationPolicyRule`.

Facts (Istio: pilot/pkg/security/authz): a value that is `*` is anything, one that begins with * a suffix, else one that
ends with * a prefix; names of namespaces and trust domains may have a * anywhere. A request principal is split at its
last slash into issuer and subject.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator

from argosy.model import attachment
from argosy.model.errors import LoweringError
from argosy.model.ir.policies import (
    Action,
    Attribute,
    AuthorizationPolicy,
    Condition,
    Conditions,
    Match,
    PolicyRule,
    TextMatch,
    text_match,
)
from argosy.model.policies import AuthorizationPolicyRule
from argosy.resources import security
from argosy.resources.semantics import path_templates
from argosy.resources.semantics.authorization_policy import is_header
from argosy.resources.semantics.metadata import DRY_RUN

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_METADATA = "experimental."
_KEYED = {"request.headers": Attribute.HEADER, "request.auth.claims": Attribute.CLAIM}
_ANYTHING = Match(TextMatch.PRESENT)


def lower(obj: security.AuthorizationPolicy) -> AuthorizationPolicyRule:
    meta, spec = obj.metadata, obj.spec
    policy = AuthorizationPolicy(
        namespace=meta.namespace,
        name=meta.name,
        action=Action(spec.action),
        provider=spec.provider.name if spec.provider is not None else "",
        dry_run=meta.annotations.get(DRY_RUN) in _TRUE,
        rules=tuple(_rule(meta.namespace, index, rule) for index, rule in enumerate(spec.rules or ())),
    )
    return AuthorizationPolicyRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        selected=attachment.selected(spec),
        policy=policy,
    )


# --- rules ----------------------------------------------------------------------------------------------------------


def _rule(namespace: str, index: int, written: security.Rule) -> PolicyRule:
    path = f"spec.rules[{index}]"
    return PolicyRule(
        sources=tuple(
            _source(namespace, f"{path}.from[{at}].source", one.source)
            for at, one in enumerate(written.from_ or ())
        ),
        operations=tuple(
            _operation(f"{path}.to[{at}].operation", one.operation) for at, one in enumerate(written.to or ())
        ),
        when=tuple(_when(namespace, f"{path}.when[{at}]", one) for at, one in enumerate(written.when)),
    )


def _source(namespace: str, path: str, written: security.Source | None) -> Conditions:
    one = written or security.Source()
    return _conditions(
        namespace,
        path,
        (
            (Attribute.SOURCE_PRINCIPAL, one.principals, one.not_principals),
            (Attribute.REQUEST_PRINCIPAL, one.request_principals, one.not_request_principals),
            (Attribute.SOURCE_NAMESPACE, one.namespaces, one.not_namespaces),
            (Attribute.SOURCE_SERVICE_ACCOUNT, one.service_accounts, one.not_service_accounts),
            (Attribute.SOURCE_TRUST_DOMAIN, one.trust_domains, one.not_trust_domains),
            (Attribute.REMOTE_IP, one.remote_ip_blocks, one.not_remote_ip_blocks),
            (Attribute.SOURCE_IP, one.ip_blocks, one.not_ip_blocks),
        ),
    )


def _operation(path: str, written: security.Operation | None) -> Conditions:
    one = written or security.Operation()
    return _conditions(
        "",
        path,
        (
            (Attribute.HOST, one.hosts, one.not_hosts),
            (Attribute.METHOD, one.methods, one.not_methods),
            (Attribute.PATH, one.paths, one.not_paths),
            (Attribute.DESTINATION_PORT, one.ports, one.not_ports),
        ),
    )


Written = tuple[Attribute, tuple[str, ...], tuple[str, ...]]


def _conditions(namespace: str, path: str, written: Iterable[Written]) -> Conditions:
    return tuple(
        Condition(
            attribute=attribute,
            values=tuple(_matches(namespace, path, attribute, values)),
            not_values=tuple(_matches(namespace, path, attribute, not_values)),
        )
        for attribute, values, not_values in written
        if values or not_values
    )


def _when(namespace: str, path: str, written: security.AuthorizationCondition) -> Condition:
    attribute, key = _attribute(path, written.key)
    return Condition(
        attribute=attribute,
        key=key,
        values=tuple(_matches(namespace, path, attribute, written.values)),
        not_values=tuple(_matches(namespace, path, attribute, written.not_values)),
    )


def _attribute(path: str, written: str) -> tuple[Attribute, tuple[str, ...]]:
    """An attribute by Istio's name for it, and its key."""
    name, opened, inside = written.partition("[")
    if opened and inside.endswith("]") and all(inside[:-1].split("][")):
        if name in _KEYED:
            attribute = _KEYED[name]
            if attribute is Attribute.CLAIM:
                return attribute, tuple(inside[:-1].split("]["))
            if is_header(inside[:-1]):
                return attribute, (inside[:-1].lower(),)
        elif name.startswith(f"{Attribute.METADATA}."):
            return Attribute.METADATA, (name.removeprefix(_METADATA), inside[:-1])
    elif written not in (*_KEYED, Attribute.METADATA) and written in tuple(Attribute):
        return Attribute(written), ()
    raise LoweringError(f"{path}.key", f"{written!r} is not an attribute that is known")


# --- values ---------------------------------------------------------------------------------------------------------


def _matches(namespace: str, path: str, attribute: Attribute, values: Iterable[str]) -> Iterator[Match]:
    for value in values:
        match attribute:
            case Attribute.SOURCE_IP | Attribute.REMOTE_IP | Attribute.DESTINATION_IP:
                yield _checked(path, value, _address)
            case Attribute.DESTINATION_PORT:
                yield _checked(path, value, _port)
            case Attribute.SOURCE_SERVICE_ACCOUNT:
                yield Match(TextMatch.EXACT, value if "/" in value else f"{namespace}/{value}")
            case Attribute.SOURCE_NAMESPACE | Attribute.SOURCE_TRUST_DOMAIN:
                yield Match(TextMatch.PATTERN if "*" in value else TextMatch.EXACT, value)
            case Attribute.REQUEST_PRINCIPAL:
                yield _request_principal(value)
            case Attribute.PATH if path_templates.is_template(value):
                if wrong := path_templates.problem(value):
                    raise LoweringError(path, wrong)
                yield Match(TextMatch.TEMPLATE, value)
            case Attribute.METADATA if value.startswith("[") and value.endswith("]"):
                found = text_match(value.strip("[]"))
                yield Match(found.kind, found.value, in_list=True)
            case _:
                yield text_match(value)


def _request_principal(value: str) -> Match:
    """Of one without a slash, a prefix is of the issuer and a suffix of the subject; an exact one has no subject."""
    issuer, slash, subject = value.rpartition("/")
    if value == "*":
        found, whom = _ANYTHING, _ANYTHING
    elif not slash and value.startswith("*"):
        found, whom = _ANYTHING, text_match(value)
    elif not slash and value.endswith("*"):
        found, whom = text_match(value), _ANYTHING
    elif not slash:
        found, whom = Match(TextMatch.EXACT, value), Match(TextMatch.EXACT)
    elif value.startswith("*"):
        found = _ANYTHING if issuer == "*" else Match(TextMatch.SUFFIX, issuer[1:])
        whom = Match(TextMatch.EXACT, subject)
    else:
        found = Match(TextMatch.EXACT, issuer)
        whom = text_match(subject) if subject.endswith("*") else Match(TextMatch.EXACT, subject)
    return Match(found.kind, found.value, subject=whom)


def _checked(path: str, value: str, read: Callable[[str], Match]) -> Match:
    try:
        return read(value)
    except ValueError as error:
        raise LoweringError(path, f"{value!r}: {error}") from error


def _address(value: str) -> Match:
    return Match(TextMatch.ADDRESS, str(ipaddress.ip_network(value, strict=False)))


def _port(value: str) -> Match:
    number = int(value)
    if not 0 <= number <= 65535:
        raise ValueError("is not a port; use 1 to 65535")
    return Match(TextMatch.PORT, str(number))
