"""In which form a client gets objects: as they are, as rows of a Table, or as their metadata alone.

Rule: the form is chosen from `Accept` before anything is done, so that a client that takes none of ours has changed
nothing. A form is told objects as they are stored, and gives bytes.
# Kubernetes: "Receiving resources as Tables", "Alternate representations of resources"; RFC 9110, 12.5.1
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from msgspec import Struct

from argosy.apiserver import encoding
from argosy.apiserver.encoding import ListMeta
from argosy.apiserver.status import Refusal, bad_request
from argosy.apiserver.table import Include, Table
from argosy.resources.kinds import Kind
from argosy.store.base import Stored

Json = dict[str, Any]
Clock = Callable[[], datetime]

META_VERSIONS = ("v1", "v1beta1")
INCLUDES = ("None", "Metadata", "Object")
ACCEPTED = "application/json"
LONGEST_ACCEPT = 4096


class Form(Protocol):
    """One answer's form; a watch has one of its own for all its frames."""

    @property
    def view(self) -> Hashable:
        """All that its bytes go by, but for the object; None: by more than that, each answer is made for itself."""

    def one(self, stored: Stored) -> bytes: ...

    def many(self, items: Sequence[Stored], meta: ListMeta) -> bytes: ...

    def bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        """The object of a BOOKMARK frame."""


class Media(Struct, frozen=True):
    """One alternative of an Accept header."""

    kind: str
    parameters: Mapping[str, str]


def choose(accept: str, include: str, kind: Kind, api_version: str, now: Clock) -> Form:
    """The first alternative that we have. Raises Refusal (400, 406)."""
    if include not in ("", *INCLUDES):
        raise bad_request(f"includeObject: {include[:40]!r} is none of {', '.join(INCLUDES)}")
    for media in alternatives(accept):
        if media.kind not in ("application/json", "application/*", "*/*"):
            continue
        form = media.parameters.get("as", "")
        group, version = media.parameters.get("g", ""), media.parameters.get("v", "")
        if not form:
            return Whole(kind, api_version)
        if group != "meta.k8s.io" or version not in META_VERSIONS:
            continue
        if form == "Table":
            chosen: Include = "None" if include == "None" else "Object" if include == "Object" else "Metadata"
            return Table(kind, api_version, version, chosen, now)
        if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return MetadataAlone(version)
    raise not_acceptable((ACCEPTED, f"{ACCEPTED};as=Table;v=v1;g=meta.k8s.io"))


@lru_cache(256)
def alternatives(accept: str) -> tuple[Media, ...]:
    """Best first; no header: anything. Remembered: every client sends the same one with each request."""
    if len(accept) > LONGEST_ACCEPT:
        raise bad_request(f"the header Accept is longer than {LONGEST_ACCEPT} characters")
    if not accept.strip():
        return (Media("*/*", {}),)
    found = []
    for clause in accept.split(","):
        kind, *pairs = (part.strip() for part in clause.split(";"))
        parameters = {name.strip(): value.strip() for name, _, value in (p.partition("=") for p in pairs)}
        weight = _weight(parameters.pop("q", "1"))
        if weight > 0:
            found.append((weight, Media(kind.lower(), parameters)))
    return tuple(media for _, media in sorted(found, key=lambda each: -each[0]))


def not_acceptable(offered: Iterable[str]) -> Refusal:
    return Refusal(406, f"only the following media types are accepted: {', '.join(offered)}")


class Whole:
    """Objects as they are."""

    def __init__(self, kind: Kind, api_version: str) -> None:
        self._kind, self._api_version = kind, api_version
        self.view = ("whole", kind.resource, api_version)

    def one(self, stored: Stored) -> bytes:
        return encoding.render(stored, self._kind, self._api_version)

    def many(self, items: Sequence[Stored], meta: ListMeta) -> bytes:
        return encoding.render_list(items, meta, self._kind, self._api_version)

    def bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        head = {"kind": self._kind.kind, "apiVersion": self._api_version}
        return encoding.encode(head | {"metadata": encoding.bookmark_metadata(revision, annotations)})


class MetadataAlone:
    """`PartialObjectMetadata`."""

    def __init__(self, version: str) -> None:
        self._version = f"meta.k8s.io/{version}"
        self.view = ("metadata", self._version)

    def one(self, stored: Stored) -> bytes:
        return encoding.render_metadata(stored, self._version)

    def many(self, items: Sequence[Stored], meta: ListMeta) -> bytes:
        rendered = [self.one(stored) for stored in items]
        return encoding.join_list("PartialObjectMetadataList", self._version, meta, rendered)

    def bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        head = {"kind": "PartialObjectMetadata", "apiVersion": self._version}
        return encoding.encode(head | {"metadata": encoding.bookmark_metadata(revision, annotations)})


def _weight(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0
