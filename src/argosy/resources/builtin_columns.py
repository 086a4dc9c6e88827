"""The columns that Kubernetes itself prints for its own kinds, as people know them from kubectl: one table.

Cells that a JSON path cannot give are small functions of (object, now). Objects come as they are stored: any field may
be missing.
# Kubernetes: printers/internalversion
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from argosy.resources import age, json_path
from argosy.resources.kinds import AGE, Column, ColumnType

Json = dict[str, Any]
Cell = str | int | float | bool | None
Compute = Callable[[Json, datetime], Cell]

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"
SHOWN = 3
"""So many endpoints are named in a cell; the rest is counted."""


def text_at(path: str, otherwise: Cell = "") -> Compute:
    found = json_path.compiled(path)

    def compute(obj: Json, _: datetime) -> Cell:
        value = found.first(obj)
        return value if isinstance(value, (str, int)) and value != "" else otherwise

    return compute


def count_of(*fields: str) -> Compute:
    return lambda obj, _: sum(len(_list(obj, field) or _at(obj, field)) for field in fields)


def since(*paths: str) -> Compute:
    """The time since the first of these moments that is there."""
    found = [json_path.compiled(path) for path in paths]

    def compute(obj: Json, now: datetime) -> Cell:
        told = (age.since(path.first(obj), now) for path in found)
        return next((each for each in told if each is not None), UNKNOWN)

    return compute


def pairs(obj: Json, _: datetime) -> Cell:
    selector = _at(_at(obj, "spec"), "selector")
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or NONE


def cluster_ip(obj: Json, _: datetime) -> Cell:
    return str(_at(obj, "spec").get("clusterIP") or NONE)


def external_ip(obj: Json, _: datetime) -> Cell:
    spec = _at(obj, "spec")
    given = [str(address) for address in _list(spec, "externalIPs")]
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName") or NONE)
        case "LoadBalancer":
            ingress = _each(_at(_at(obj, "status"), "loadBalancer"), "ingress")
            given = [str(one.get("ip") or one.get("hostname") or "") for one in ingress] + given
            return ",".join(filter(None, given)) or "<pending>"
    return ",".join(given) or NONE


def service_ports(obj: Json, _: datetime) -> Cell:
    told = []
    for port in _each(_at(obj, "spec"), "ports"):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        told.append(f"{port.get('port')}{node}/{port.get('protocol') or 'TCP'}")
    return ",".join(told) or NONE


def endpoints(obj: Json, _: datetime) -> Cell:
    found: list[str] = []
    for subset in _each(obj, "subsets"):
        addresses = [str(address.get("ip")) for address in _each(subset, "addresses")]
        ports = [str(port.get("port")) for port in _each(subset, "ports")]
        if ports:
            found += [_with_port(address, port) for port in ports for address in addresses]
        else:
            found += addresses
    return _first_few(found)


def slice_ports(obj: Json, _: datetime) -> Cell:
    ports = [str(port["port"]) if port.get("port") is not None else "*" for port in _each(obj, "ports")]
    return _first_few(ports, UNSET)


def slice_endpoints(obj: Json, _: datetime) -> Cell:
    found = [str(one) for each in _each(obj, "endpoints") for one in _list(each, "addresses")]
    return _first_few(found, UNSET)


def role(obj: Json, _: datetime) -> Cell:
    reference = _at(obj, "roleRef")
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def subjects(kind: str) -> Compute:
    def compute(obj: Json, _: datetime) -> Cell:
        named = [each for each in _each(obj, "subjects") if each.get("kind") == kind]
        return ", ".join(
            f"{each.get('namespace', '')}/{each.get('name')}"
            if kind == "ServiceAccount"
            else str(each.get("name"))
            for each in named
        )

    return compute


def event_about(obj: Json, _: datetime) -> Cell:
    about = _at(obj, "involvedObject") or _at(obj, "regarding")
    kind, name = str(about.get("kind") or "").lower(), about.get("name") or ""
    return f"{kind}/{name}" if name else kind


def event_source(obj: Json, _: datetime) -> Cell:
    source = _at(obj, "source")
    said = [source.get("component") or obj.get("reportingComponent"), source.get("host")]
    return ", ".join(str(part) for part in said if part)


def event_count(obj: Json, _: datetime) -> Cell:
    count = _at(obj, "series").get("count") or obj.get("count")
    return count if isinstance(count, int) else 1


def event_message(obj: Json, _: datetime) -> Cell:
    return str(obj.get("message") or obj.get("note") or "").strip()


def _at(obj: Json, field: str) -> Json:
    value = obj.get(field)
    return value if isinstance(value, dict) else {}


def _list(obj: Json, field: str) -> list[Any]:
    value = obj.get(field)
    return value if isinstance(value, list) else []


def _each(obj: Json, field: str) -> list[Json]:
    return [each for each in _list(obj, field) if isinstance(each, dict)]


def _with_port(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _first_few(found: Iterable[str], otherwise: str = NONE) -> str:
    every = list(found)
    more = len(every) - SHOWN
    return ",".join(every[:SHOWN]) + (f" + {more} more..." if more > 0 else "") if every else otherwise


def _column(name: str, description: str, priority: int = 0, type: ColumnType = ColumnType.STRING) -> Column:
    return Column(name, "", type, priority, description)


NAME: tuple[Column, Compute] = (
    Column(
        "Name",
        ".metadata.name",
        description="What the object is called: unique among those of its kind and namespace.",
        format="name",
    ),
    text_at(".metadata.name"),
)
_AGE = (_column("Age", AGE.description), since(AGE.json_path))
_CREATED = (
    _column("Created At", "When the object was created."),
    text_at(".metadata.creationTimestamp", UNKNOWN),
)
_DATA = _column("Data", "How many entries it holds.", type=ColumnType.INTEGER)
_BINDING = (
    NAME,
    (_column("Role", "The role that is given."), role),
    _AGE,
    (_column("Users", "The users it is given to.", 1), subjects("User")),
    (_column("Groups", "The groups it is given to.", 1), subjects("Group")),
    (_column("ServiceAccounts", "The service accounts it is given to.", 1), subjects("ServiceAccount")),
)
_SEEN = (".series.lastObservedTime", ".lastTimestamp", ".eventTime", ".metadata.creationTimestamp")
_EVENT: tuple[tuple[Column, Compute], ...] = (
    (_column("Last Seen", "How long ago it happened last."), since(*_SEEN)),
    (_column("Type", "Normal or Warning."), text_at(".type")),
    (_column("Reason", "Why it was told, in one word."), text_at(".reason")),
    (_column("Object", "What it is about."), event_about),
    (_column("Subobject", "Which part of that.", 1), text_at(".involvedObject.fieldPath")),
    (_column("Source", "Who told it.", 1), event_source),
    (_column("Message", "What happened."), event_message),
    (_column("First Seen", "How long ago it happened first.", 1), since(".firstTimestamp", *_SEEN[2:])),
    (_column("Count", "How often it happened.", 1), event_count),
    (msgspec.structs.replace(NAME[0], priority=1), NAME[1]),
)

COMPUTED: dict[str, tuple[tuple[Column, Compute], ...]] = {
    "/namespaces": (
        NAME,
        (_column("Status", "Active or Terminating."), text_at(".status.phase", "Active")),
        _AGE,
    ),
    "/services": (
        NAME,
        (_column("Type", "How it is reached."), text_at(".spec.type", "ClusterIP")),
        (_column("Cluster-IP", "Its address within the mesh."), cluster_ip),
        (_column("External-IP", "Its addresses from outside."), external_ip),
        (_column("Port(s)", "Its ports and their protocols."), service_ports),
        _AGE,
        (_column("Selector", "The labels of the workloads behind it.", 1), pairs),
    ),
    "/secrets": (
        NAME,
        (_column("Type", "What it is used for."), text_at(".type", "Opaque")),
        (_DATA, count_of("data")),
        _AGE,
    ),
    "/configmaps": (NAME, (_DATA, count_of("data", "binaryData")), _AGE),
    "/endpoints": (NAME, (_column("Endpoints", "Addresses and ports that are ready."), endpoints), _AGE),
    "/serviceaccounts": (
        NAME,
        (_column("Secrets", "How many secrets it names.", type=ColumnType.INTEGER), count_of("secrets")),
        _AGE,
    ),
    "/events": _EVENT,
    "events.k8s.io/events": _EVENT,
    "discovery.k8s.io/endpointslices": (
        NAME,
        (_column("AddressType", "The form of its addresses."), text_at(".addressType")),
        (_column("Ports", "The ports of all its endpoints."), slice_ports),
        (_column("Endpoints", "The addresses."), slice_endpoints),
        _AGE,
    ),
    "coordination.k8s.io/leases": (
        NAME,
        (_column("Holder", "Who holds it."), text_at(".spec.holderIdentity")),
        _AGE,
    ),
    "rbac.authorization.k8s.io/roles": (NAME, _CREATED),
    "rbac.authorization.k8s.io/clusterroles": (NAME, _CREATED),
    "rbac.authorization.k8s.io/rolebindings": _BINDING,
    "rbac.authorization.k8s.io/clusterrolebindings": _BINDING,
    "apiextensions.k8s.io/customresourcedefinitions": (NAME, _CREATED),
}
