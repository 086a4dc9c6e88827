"""Bodies in Kubernetes' protobuf, as kubectl sends them for Kubernetes' own kinds: bytes -> the JSON object they mean.

    k8s\\0  Unknown{1: TypeMeta{1: apiVersion, 2: kind}, 2: the object}

Each kind is one table of field numbers; what no table has is skipped, as protobuf does it. The other direction is not
spoken: every client that sends these takes JSON back.
# Kubernetes: the generated.proto files of core/v1, meta/v1, rbac/v1, authorization/v1, authentication/v1;
# runtime/v1 Unknown
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from argosy.apiserver.status import bad_request
from argosy.resources.kinds import Kind

Json = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"

Read = Callable[[Any], Any]
"""From what the wire has of a field to its JSON; None: a value that means the field is not set."""


class Field:
    """`wire`: 0 a varint, 2 bytes."""

    def __init__(self, wire: int, read: Read, *, many: bool = False, entries: bool = False) -> None:
        self.wire, self.read, self.many, self.entries = wire, read, many, entries


class Message:
    """The fields of one message by their numbers."""

    def __init__(self, **fields: tuple[int, Field]) -> None:
        self._fields = {number: (name, field) for name, (number, field) in fields.items()}

    def read(self, data: bytes) -> Json:
        found: Json = {}
        for number, wire, value in _wire(data):
            name, field = self._fields.get(number, ("", None))
            if field is None:
                continue
            if wire != field.wire:
                raise ValueError(f"field {number} ({name}) has the wire type {wire}")
            read = field.read(value)
            if read is None:
                continue
            if field.entries:
                found.setdefault(name, {}).update(read)
            elif field.many:
                found.setdefault(name, []).append(read)
            else:
                found[name] = read
        return found


def message_of(kind: Kind) -> Message | None:
    return MESSAGES.get(kind.resource)


def decode(data: bytes, message: Message) -> Json:
    """Raises Refusal (400)."""
    if not data.startswith(MAGIC):
        raise bad_request("the body is not Kubernetes' protobuf: it does not begin with its four bytes")
    try:
        outer = _UNKNOWN.read(data[len(MAGIC) :])
        head: Json = outer.get("typeMeta", {})
        return head | message.read(outer.get("raw", b""))
    except (ValueError, OverflowError, OSError) as error:
        raise bad_request(f"the body is not Kubernetes' protobuf: {error}") from None


def _wire(data: bytes) -> Iterator[tuple[int, int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: Any
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            size, at = _varint(data, at)
            value = data[at : at + size]
            at += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value = data[at : at + size]
            at += size
        else:
            raise ValueError(f"field {number} has the unknown wire type {wire}")
        if at > len(data) or number == 0:
            raise ValueError("it ends within a field")
        yield number, wire, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7


# --- the forms of fields: (number, Field) ---

Spec = tuple[int, Field]


def _text(number: int) -> Spec:
    """ "" is not set, as in Kubernetes' JSON."""
    return number, Field(2, lambda value: value.decode("utf-8") or None)


def _texts(number: int) -> Spec:
    return number, Field(2, lambda value: value.decode("utf-8"), many=True)


def _bytes(number: int) -> Spec:
    return number, Field(2, bytes)


def _number(number: int) -> Spec:
    """0 is not set."""
    return number, Field(0, lambda value: _signed(value) or None)


def _given_number(number: int) -> Spec:
    return number, Field(0, _signed)


def _flag(number: int) -> Spec:
    """False is not set."""
    return number, Field(0, lambda value: bool(value) or None)


def _given_flag(number: int) -> Spec:
    return number, Field(0, bool)


def _one(number: int, message: Message) -> Spec:
    return number, Field(2, lambda value: message.read(value) or None)


def _given(number: int, message: Message) -> Spec:
    """Set even where it is empty."""
    return number, Field(2, message.read)


def _many(number: int, message: Message) -> Spec:
    return number, Field(2, message.read, many=True)


def _map(number: int, read: Read = lambda value: value.decode("utf-8")) -> Spec:
    def entry(value: bytes) -> Json:
        key, inner = "", b""
        for field, wire, part in _wire(value):
            if wire != 2:
                raise ValueError("an entry of a map is not text")
            key, inner = (part.decode("utf-8"), inner) if field == 1 else (key, part)
        return {key: read(inner)}

    return number, Field(2, entry, entries=True)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _time(number: int, timespec: str = "seconds") -> Spec:
    def read(value: bytes) -> str | None:
        parts = _TIMESTAMP.read(value)
        if not parts:
            return None
        moment = datetime.fromtimestamp(parts.get("seconds", 0), UTC)
        moment = moment.replace(microsecond=min(max(parts.get("nanos", 0) // 1000, 0), 999_999))
        return moment.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"

    return number, Field(2, read)


_TIMESTAMP = Message(seconds=_number(1), nanos=_number(2))
_UNKNOWN = Message(
    typeMeta=_one(1, Message(apiVersion=_text(1), kind=_text(2))), raw=_bytes(2)
)  # 3 and 4: the encoding and type of `raw`, which are empty

# --- the messages ---

_META = Message(
    name=_text(1),
    generateName=_text(2),
    namespace=_text(3),
    selfLink=_text(4),
    uid=_text(5),
    resourceVersion=_text(6),
    generation=_number(7),
    creationTimestamp=_time(8),
    deletionTimestamp=_time(9),
    deletionGracePeriodSeconds=_given_number(10),
    labels=_map(11),
    annotations=_map(12),
    ownerReferences=_many(
        13,
        Message(
            kind=_text(1),
            name=_text(3),
            uid=_text(4),
            apiVersion=_text(5),
            controller=_given_flag(6),
            blockOwnerDeletion=_given_flag(7),
        ),
    ),
    finalizers=_texts(14),
)
_HEAD = _one(1, _META)
_REFERENCE = Message(
    kind=_text(1),
    namespace=_text(2),
    name=_text(3),
    uid=_text(4),
    apiVersion=_text(5),
    resourceVersion=_text(6),
    fieldPath=_text(7),
)
_RULES = _many(
    2,
    Message(
        verbs=_texts(1),
        apiGroups=_texts(2),
        resources=_texts(3),
        resourceNames=_texts(4),
        nonResourceURLs=_texts(5),
    ),
)
_BINDING = Message(
    metadata=_HEAD,
    subjects=_many(2, Message(kind=_text(1), apiGroup=_text(2), name=_text(3), namespace=_text(4))),
    roleRef=_one(3, Message(apiGroup=_text(1), kind=_text(2), name=_text(3))),
)
_LABEL_SELECTOR = Message(
    matchLabels=_map(1),
    matchExpressions=_many(2, Message(key=_text(1), operator=_text(2), values=_texts(3))),
)


class _IntOrText:
    """A number or text, which it is by its own word."""

    fields = Message(type=_number(1), intVal=_given_number(2), strVal=_text(3))

    @classmethod
    def read(cls, value: bytes) -> int | str | None:
        parts = cls.fields.read(value)
        found: int | str | None = parts.get("strVal") if parts.get("type") == 1 else parts.get("intVal", 0)
        return found or None


_PORT = Message(
    name=_text(1),
    protocol=_text(2),
    port=_given_number(3),
    targetPort=(4, Field(2, _IntOrText.read)),
    nodePort=_number(5),
    appProtocol=_text(6),
)
_SERVICE_SPEC = Message(
    ports=_many(1, _PORT),
    selector=_map(2),
    clusterIP=_text(3),
    type=_text(4),
    externalIPs=_texts(5),
    sessionAffinity=_text(7),
    loadBalancerIP=_text(8),
    loadBalancerSourceRanges=_texts(9),
    externalName=_text(10),
    externalTrafficPolicy=_text(11),
    healthCheckNodePort=_number(12),
    publishNotReadyAddresses=_flag(13),
    sessionAffinityConfig=_one(14, Message(clientIP=_one(1, Message(timeoutSeconds=_given_number(1))))),
    ipFamilyPolicy=_text(17),
    clusterIPs=_texts(18),
    ipFamilies=_texts(19),
    allocateLoadBalancerNodePorts=_given_flag(20),
    loadBalancerClass=_text(21),
    internalTrafficPolicy=_text(22),
    trafficDistribution=_text(23),
)
_RESOURCE_ATTRIBUTES = Message(
    namespace=_text(1),
    verb=_text(2),
    group=_text(3),
    version=_text(4),
    resource=_text(5),
    subresource=_text(6),
    name=_text(7),
)
_NAMESPACE_CONDITION = Message(
    type=_text(1), status=_text(2), lastTransitionTime=_time(4), reason=_text(5), message=_text(6)
)

DELETE_OPTIONS = Message(
    gracePeriodSeconds=_given_number(1),
    preconditions=_one(2, Message(uid=_text(1), resourceVersion=_text(2))),
    orphanDependents=_given_flag(3),
    propagationPolicy=_text(4),
    dryRun=_texts(5),
)
MESSAGES: dict[str, Message] = {
    "/namespaces": Message(
        metadata=_HEAD,
        spec=_one(2, Message(finalizers=_texts(1))),
        status=_one(3, Message(phase=_text(1), conditions=_many(2, _NAMESPACE_CONDITION))),
    ),
    "/secrets": Message(
        metadata=_HEAD,
        data=_map(2, _base64),
        type=_text(3),
        stringData=_map(4),
        immutable=_given_flag(5),
    ),
    "/configmaps": Message(
        metadata=_HEAD, data=_map(2), binaryData=_map(3, _base64), immutable=_given_flag(4)
    ),
    "/services": Message(metadata=_HEAD, spec=_one(2, _SERVICE_SPEC)),
    "/serviceaccounts": Message(
        metadata=_HEAD,
        secrets=_many(2, _REFERENCE),
        imagePullSecrets=_many(3, Message(name=_text(1))),
        automountServiceAccountToken=_given_flag(4),
    ),
    "/events": Message(
        metadata=_HEAD,
        involvedObject=_one(2, _REFERENCE),
        reason=_text(3),
        message=_text(4),
        source=_one(5, Message(component=_text(1), host=_text(2))),
        firstTimestamp=_time(6),
        lastTimestamp=_time(7),
        count=_number(8),
        type=_text(9),
        eventTime=_time(10, "microseconds"),
        series=_one(11, Message(count=_number(1), lastObservedTime=_time(2, "microseconds"))),
        action=_text(12),
        related=_one(13, _REFERENCE),
        reportingComponent=_text(14),
        reportingInstance=_text(15),
    ),
    "rbac.authorization.k8s.io/roles": Message(metadata=_HEAD, rules=_RULES),
    "rbac.authorization.k8s.io/clusterroles": Message(
        metadata=_HEAD,
        rules=_RULES,
        aggregationRule=_one(3, Message(clusterRoleSelectors=_many(1, _LABEL_SELECTOR))),
    ),
    "rbac.authorization.k8s.io/rolebindings": _BINDING,
    "rbac.authorization.k8s.io/clusterrolebindings": _BINDING,
    "authorization.k8s.io/selfsubjectaccessreviews": Message(
        metadata=_HEAD,
        spec=_one(
            2,
            Message(
                resourceAttributes=_given(1, _RESOURCE_ATTRIBUTES),
                nonResourceAttributes=_given(2, Message(path=_text(1), verb=_text(2))),
            ),
        ),
    ),
    "authorization.k8s.io/selfsubjectrulesreviews": Message(
        metadata=_HEAD, spec=_one(2, Message(namespace=_text(1)))
    ),
    "authentication.k8s.io/selfsubjectreviews": Message(metadata=_HEAD),
}
