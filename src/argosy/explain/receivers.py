"""Whom a name means as the one that is called, and who somebody is that calls: workloads, services, identities."""

from __future__ import annotations

from msgspec import Struct

from argosy.explain.access import Receiver
from argosy.explain.called import spiffe
from argosy.model import ir
from argosy.model.snapshot import Snapshot


class NoSuchReceiver(LookupError):
    """The message says what there is."""


class NoSuchCaller(LookupError):
    """The message says what there is."""


class Caller(Struct, frozen=True, kw_only=True):
    name: str
    identities: tuple[str, ...] = ()  # (): it has none, and speaks in plaintext
    address: str = ""  # "": not known


class Called(Struct, frozen=True, kw_only=True):
    """What a name leads to, with the service through which it does; None: straight to the workload."""

    receivers: tuple[Receiver, ...]
    service: ir.Service | None = None
    port: int = 0  # of the service


def caller(snapshot: Snapshot, name: str, namespace: str) -> Caller:
    """Of a SPIFFE identity, a workload (NAME or NAMESPACE/NAME), any workload of a service, or a service account
    NAMESPACE/NAME that somebody has. "": of nobody who is known. Raises NoSuchCaller."""
    if not name:
        return Caller(name="somebody without an identity")
    if "://" in name:
        return Caller(name=name, identities=(name,))
    key = _key(name, namespace)
    workload = snapshot.workloads.get(key) or _serving(snapshot, key)
    domain = snapshot.mesh.trust_domain
    if workload is not None:
        identity = spiffe(domain, workload.namespace, workload.service_account)
        return Caller(
            name=f"{workload.namespace}/{workload.name}", identities=(identity,), address=workload.address
        )
    accounts = sorted({(one.namespace, one.service_account) for one in snapshot.workloads.values()})
    if "/" in name:  # a service account may be there before its first workload is
        return Caller(name=f"service account {name}", identities=(spiffe(domain, *key),))
    known = ", ".join("/".join(one) for one in (*sorted(snapshot.workloads)[:10], *accounts[:10]))
    raise NoSuchCaller(
        f"no workload or service {name} in {namespace}" + (f"; there are: {known}" if known else "")
    )


def called(snapshot: Snapshot, name: str, namespace: str, port: int = 0) -> Called:
    """Of a workload or a service, NAME, NAME.NAMESPACE, NAMESPACE/NAME or a host. `port` 0: the only one. Raises
    NoSuchReceiver."""
    key = _key(name, namespace)
    workload = snapshot.workloads.get(key)
    service = _service(snapshot, name, key)
    if workload is not None and (service is None or port not in {one.number for one in service.ports}):
        return Called(receivers=(_of_workload(workload, port),))
    if service is None:
        known = [f"{one.namespace}/{one.name}" for one in snapshot.services.values()]
        known += ["/".join(one) for one in snapshot.workloads]
        listed = ", ".join(sorted(dict.fromkeys(known))[:20])
        raise NoSuchReceiver(
            f"no workload or service {name} in the mesh" + (f"; there are: {listed}" if listed else "")
        )
    return _of_service(snapshot, service, port)


def described(snapshot: Snapshot, name: str, namespace: str, labels: ir.Pairs, port: int = 0) -> Called:
    """A workload with these labels that is not there; of a service of that name, if there is one. A port that nobody
    has declared is one for HTTP. Raises NoSuchReceiver."""
    key = _key(name, namespace)
    service = _service(snapshot, name, key)
    ports = [one for one in service.ports if one.number == port or not port] if service is not None else []
    if not port and len(ports) != 1:
        raise NoSuchReceiver(f"which port of {key[0]}/{key[1]}?")
    chosen = ports[0] if ports else None
    receiver = Receiver(
        namespace=key[0],
        name=key[1],
        labels=labels,
        port=(chosen.target_port or chosen.number) if chosen is not None else port,
        http=chosen.protocol.is_http if chosen is not None else True,
    )
    if chosen is None:
        return Called(receivers=(receiver,))
    return Called(receivers=(receiver,), service=service, port=chosen.number)


def misnamed(snapshot: Snapshot, service: ir.Service, receiver: Receiver) -> str:
    """Why the caller's sidecar refuses who serves the service (secure naming); "" where it does not, or where nobody
    knows who serves it."""
    workload = snapshot.workloads.get((receiver.namespace, receiver.name))
    if workload is None or not service.subject_alt_names:
        return ""
    identity = spiffe(snapshot.mesh.trust_domain, workload.namespace, workload.service_account)
    if identity in service.subject_alt_names:
        return ""
    allowed = ", ".join(service.subject_alt_names)
    return f"the caller refuses it: it is {identity}, and {service.namespace}/{service.name} may run as {allowed} alone"


def _key(name: str, namespace: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash:
        return first, rest
    short, dot, owner = name.partition(".")
    return (owner.partition(".")[0], short) if dot else (namespace, name)


def _service(snapshot: Snapshot, name: str, key: tuple[str, str]) -> ir.Service | None:
    return snapshot.services.get(name) or next(
        (one for one in snapshot.services.values() if (one.namespace, one.name) == key), None
    )


def _serving(snapshot: Snapshot, key: tuple[str, str]) -> ir.Workload | None:
    service = _service(snapshot, "", key)
    for one in snapshot.endpoints.get(service.hostname, ()) if service is not None else ():
        if (found := snapshot.workloads.get((one.namespace, one.workload))) is not None:
            return found
    return None


def _of_workload(workload: ir.Workload, port: int) -> Receiver:
    ports = {one.workload: one.protocol for one in workload.ports}
    number = port or (next(iter(ports)) if len(ports) == 1 else 0)
    if not number:
        listed = ", ".join(map(str, ports)) or "none that services name"
        raise NoSuchReceiver(f"which port of {workload.namespace}/{workload.name}? It has {listed}")
    return Receiver(
        namespace=workload.namespace,
        name=workload.name,
        labels=workload.labels,
        address=workload.address,
        port=number,
        http=ports[number].is_http if number in ports else False,
    )


def _of_service(snapshot: Snapshot, service: ir.Service, port: int) -> Called:
    named = f"{service.namespace}/{service.name}"
    ports = [one for one in service.ports if one.number == port or not port]
    if len(ports) != 1:
        listed = ", ".join(str(one.number) for one in service.ports)
        what = f"{port} is no port of {named}" if port else f"which port of {named}?"
        raise NoSuchReceiver(f"{what} It has {listed}")
    chosen = ports[0]
    found: dict[tuple[str, ir.Pairs], Receiver] = {}
    for one in snapshot.endpoints.get(service.hostname, ()):
        if one.port_name == chosen.name and one.mtls:
            namespace = one.namespace or service.namespace
            receiver = Receiver(
                namespace=namespace,
                name=one.workload or one.address,
                labels=one.labels,
                address=one.address,
                port=chosen.target_port or chosen.number,
                http=chosen.protocol.is_http,
            )
            found.setdefault((namespace, one.labels), receiver)  # policies select by labels
    if not found:
        raise NoSuchReceiver(f"nobody with a sidecar serves {named}, so nobody is there who would decide")
    return Called(receivers=tuple(found.values()), service=service, port=chosen.number)
