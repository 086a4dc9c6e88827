"""Gateways: the workloads they select, their ports, certificates, and each other.

# Istio: analyzers/gateway
"""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Iterator

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import INGRESS_PORTS, Item, Workload, World

PAIRS = (("tls.crt", "tls.key"), ("cert", "key"))
"""(certificate, key) in a Secret. # Istio: gateway credentials"""


def _selector(gateway: Item) -> dict[str, str]:
    return parts.labels(gateway.spec, "selector")


def _servers(gateway: Item) -> Iterator[tuple[str, Json]]:
    for index, server in parts.objects(gateway.spec, "servers"):
        yield f"spec.servers[{index}]", server


def selected_and_reachable(world: World) -> Iterator[Finding]:
    """A gateway that runs as a pod is reached through Services; one that `argosy gateway` runs listens itself."""
    for gateway in world.of("Gateway"):
        selected = world.selected(_selector(gateway))
        if not selected:
            yield _selects_nothing(gateway)
            continue
        if not all(workload.behind_services for workload in selected):
            continue
        ports = {port for workload in selected for port in _target_ports(world, workload)}
        for field, server in _servers(gateway):
            port = parts.number(server, "port", "number")
            if port is not None and port not in ports:
                yield found(
                    "GatewayPortNotDefinedOnService",
                    gateway,
                    f"{field}.port.number",
                    port=port,
                    selector=parts.written(_selector(gateway)) or "every gateway",
                    ports=parts.joined(sorted(ports)) or "none",
                )


def _selects_nothing(gateway: Item) -> Finding:
    return found(
        "ReferencedResourceNotFound",
        gateway,
        "spec.selector",
        value=parts.written(_selector(gateway)) or "{}",
        missing="no gateway has these labels",
        remedy="start one with them, or correct the selector",
    )


def _target_ports(world: World, workload: Workload) -> Iterator[int]:
    """The ports at which Services reach the workload: numbers as they are, names as the port that bears them."""
    if workload.item is None:
        yield from INGRESS_PORTS
    for service in world.of("Service"):
        if service.namespace != workload.namespace:
            continue
        if not parts.selects(parts.labels(service.spec, "selector"), workload.labels):
            continue
        for _, port in parts.objects(service.spec, "ports"):
            if parts.text(port, "protocol") in ("", "TCP"):
                target = parts.number(port, "targetPort") or parts.number(port, "port")
                if target is not None:
                    yield target


def credentials_there(world: World) -> Iterator[Finding]:
    """Secrets are read in the namespace of the workload, whatever that of the Gateway is."""
    for gateway in world.of("Gateway"):
        selected = world.selected(_selector(gateway))
        if not selected:
            yield _selects_nothing(gateway)
            continue
        for field, server in _servers(gateway):
            name = parts.text(server, "tls", "credentialName")
            if name:
                yield from _credential(world, gateway, f"{field}.tls.credentialName", name, selected)


def _credential(
    world: World, gateway: Item, field: str, written: str, selected: list[Workload]
) -> Iterator[Finding]:
    name = written.removeprefix("kubernetes://")
    namespaces = list(dict.fromkeys(workload.namespace for workload in selected))
    if "/" in name:
        namespace, _, name = name.partition("/")
        namespaces = [namespace]
    secrets = [secret for each in namespaces if (secret := world.get("Secret", each, name)) is not None]
    if not secrets and "Secret" not in world.hidden:
        yield found(
            "ReferencedResourceNotFound",
            gateway,
            field,
            value=written,
            missing=f"there is no such Secret in {parts.joined(namespaces)}, where the gateway runs",
            remedy="create it there, or correct the name",
        )
    for secret in secrets:
        problem = unusable(secret, world.now)
        if problem:
            yield found(
                "InvalidGatewayCredential",
                gateway,
                field,
                value=written,
                secret=secret.owner,
                problem=problem,
            )


def unusable(secret: Item, now: str) -> str:
    """Why a gateway cannot serve with the Secret; "": it can, or its values are not shown to us. `now`: RFC 3339."""
    data = parts.labels(secret.body, "data")
    plain = parts.labels(secret.body, "stringData")
    for certificate, key in PAIRS:
        if certificate not in {*data, *plain} and key not in {*data, *plain}:
            continue
        values = [
            plain[name].encode() if name in plain else _decoded(data.get(name, ""))
            for name in (certificate, key)
        ]
        if values[0] is None or values[1] is None:
            return f"{certificate} or {key} is not base64"
        if not values[0] or not values[1]:
            return f"{certificate if not values[0] else key} is missing"
        return _wrong(values[0], certificate, now)
    return "it has neither tls.crt and tls.key nor cert and key"


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None


def _wrong(pem: bytes, name: str, now: str) -> str:
    from datetime import datetime

    from cryptography import x509

    try:
        with warnings.catch_warnings(action="ignore"):  # of oddities that serve well enough
            certificate = x509.load_pem_x509_certificates(pem)[0]
    except ValueError:
        return f"{name} is no certificate in PEM"
    if now:
        moment = datetime.fromisoformat(now)
        if moment >= certificate.not_valid_after_utc:
            return f"its certificate expired at {certificate.not_valid_after_utc.isoformat()}"
        if moment < certificate.not_valid_before_utc:
            return f"its certificate is not valid before {certificate.not_valid_before_utc.isoformat()}"
    return ""


def certificates_of_their_own(world: World) -> Iterator[Finding]:
    """A pair counts where the one's selector is a part of the other's: the wider one is told."""
    gateways = list(world.of("Gateway"))
    for gateway in gateways:
        for other in gateways:
            if other is gateway or not parts.selects(_selector(gateway), _selector(other)):
                continue
            for field, server in _servers(gateway):
                own = _certificate(parts.mapping(server, "tls"))
                if own and any(own == _certificate(parts.mapping(its, "tls")) for _, its in _servers(other)):
                    owners = f"Gateway {gateway.owner} and Gateway {other.owner}"
                    yield found("GatewayDuplicateCertificate", gateway, f"{field}.tls", owners=owners)


def _certificate(tls: Json) -> tuple[str, ...]:
    """What two servers must have in common to serve with one certificate; () where that cannot be told."""
    name = parts.text(tls, "credentialName")
    if name:
        return ("credential", name)
    certificate, key = parts.text(tls, "serverCertificate"), parts.text(tls, "privateKey")
    return ("files", certificate, key) if certificate and key else ()


def servers_of_their_own(world: World) -> Iterator[Finding]:
    """Two conflict where a workload is of both (their selectors alike, or it has the labels of both), and a server of
    each has the same port, bind and one host."""
    gateways = list(world.of("Gateway"))
    for gateway in gateways:
        beside = [other for other in gateways if other is not gateway and _meet(world, gateway, other)]
        for field, server in _servers(gateway):
            port, hosts = parts.number(server, "port", "number"), parts.texts(server, "hosts")
            rivals = [other for other in beside if any(_same(server, its) for _, its in _servers(other))]
            if rivals:
                owners = " and ".join(f"Gateway {each.owner}" for each in (gateway, *rivals))
                yield found(
                    "ConflictingGateways",
                    gateway,
                    field,
                    owners=owners,
                    selector=parts.written(_selector(gateway)) or "all",
                    hosts=parts.joined(hosts),
                    port=port,
                )


def _meet(world: World, one: Item, other: Item) -> bool:
    left, right = _selector(one), _selector(other)
    if left == right:
        return True
    return any(parts.selects(right, workload.labels) for workload in world.selected(left))


def _same(one: Json, other: Json) -> bool:
    if parts.number(one, "port", "number") != parts.number(other, "port", "number"):
        return False
    if parts.text(one, "bind") != parts.text(other, "bind"):
        return False
    return bool(set(parts.texts(one, "hosts")) & set(parts.texts(other, "hosts")))


ANALYZERS = (
    Analyzer(
        name="gateway.IngressGatewayPortAnalyzer",
        description="Gateways: that a workload is selected, and that Services lead to its ports",
        names=("ReferencedResourceNotFound", "GatewayPortNotDefinedOnService"),
        run=selected_and_reachable,
    ),
    Analyzer(
        name="gateway.CertificateAnalyzer",
        description="Gateways that serve different hosts with the same certificate",
        names=("GatewayDuplicateCertificate",),
        run=certificates_of_their_own,
    ),
    Analyzer(
        name="gateway.SecretAnalyzer",
        description="Certificates of Gateways: that their Secrets are there and hold one",
        names=("ReferencedResourceNotFound", "InvalidGatewayCredential"),
        run=credentials_there,
    ),
    Analyzer(
        name="gateway.ConflictingGatewayAnalyzer",
        description="Gateways that serve the same hosts at the same port of the same workload",
        names=("ConflictingGateways",),
        run=servers_of_their_own,
    ),
)
