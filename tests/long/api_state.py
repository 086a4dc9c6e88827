"""What a client of the API knows from the answers so far: which objects are there, and the tokens that it was given.

The server changes things by itself, too (it empties namespaces, collects what lost its owner, writes conditions); so
what stands here is what was there when it was seen last.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from argosy.resources.kinds import Kind

Json = dict[str, Any]
Name = tuple[str, str]
"""(namespace, name)."""

NAMESPACES = ("default", "shop", "team-a", "team-b", "team-c", "team-d")
"""Those that objects are made in; any but the first may be gone."""
PASSING = ("team-e", "team-f", "team-g")
"""Namespaces that are not made until a request asks for it."""
NAMES = ("o0", "o1", "o2", "o3", "o4", "o5")
REMEMBERED = 200


class State:
    def __init__(self) -> None:
        self._objects: dict[str, dict[Name, Json]] = {}
        self.revisions: deque[str] = deque(maxlen=REMEMBERED)
        self.uids: deque[str] = deque(maxlen=REMEMBERED)
        self.tokens: dict[str, str] = {}
        """Path of a collection -> the `continue` of its last page."""
        self.created: set[str] = set()
        """Kinds, by their unique names."""

    def saw(self, kind: Kind, obj: Json) -> None:
        metadata = obj["metadata"]
        self._of(kind)[metadata.get("namespace", ""), metadata["name"]] = obj
        self.revisions.append(metadata["resourceVersion"])
        if "uid" in metadata:  # what was written past the API has none
            self.uids.append(metadata["uid"])

    def gone(self, kind: Kind, name: Name) -> None:
        self._of(kind).pop(name, None)

    def listed(self, kind: Kind, namespace: str, items: list[Json]) -> None:
        """All there are, in one namespace or ("") everywhere."""
        for name in [each for each in self._of(kind) if not namespace or each[0] == namespace]:
            self.gone(kind, name)
        for obj in items:
            self.saw(kind, obj)

    def get(self, kind: Kind, name: Name) -> Json | None:
        return self._of(kind).get(name)

    def names(self, kind: Kind) -> list[Name]:
        return list(self._of(kind))

    def kept(self, kind: Kind) -> list[Name]:
        """Those that wait for their finalizers."""
        return [name for name, obj in self._of(kind).items() if obj["metadata"].get("deletionTimestamp")]

    def open(self) -> list[str]:
        """Namespaces in which something may be made."""
        seen = self._objects.get("/namespaces", {})
        return [name for (_, name), obj in seen.items() if not obj["metadata"].get("deletionTimestamp")]

    def owners(self, namespace: str) -> list[Json]:
        """References to what an object there may belong to; now and then to what is gone."""
        return [
            {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "name": obj["metadata"]["name"],
                "uid": obj["metadata"]["uid"],
                "blockOwnerDeletion": True,
            }
            for objects in self._objects.values()
            for (where, _), obj in list(objects.items())[:2]
            if where in ("", namespace) and "uid" in obj["metadata"]
        ]

    def free(self, dice: random.Random, kind: Kind, namespace: str) -> str:
        """A name that nothing has, where there is one."""
        known = (*NAMESPACES[1:], *PASSING) if kind.resource == "/namespaces" else NAMES
        left = [name for name in known if (namespace, name) not in self._of(kind)]
        return dice.choice(left or known)

    def _of(self, kind: Kind) -> dict[Name, Json]:
        return self._objects.setdefault(kind.resource, {})
