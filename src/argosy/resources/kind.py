"""What there is to say of a kind: its names, its versions, its struct, the columns of its table."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.resources.meta import Object


class ColumnType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"  # told as an age


class Column(Struct, frozen=True):
    """One column of a table of objects, after their name. # Kubernetes: CustomResourceColumnDefinition"""

    name: str
    json_path: str  # `.spec.hosts`, `.status.conditions[?(@.type=="Programmed")].status`
    type: ColumnType = ColumnType.STRING
    priority: int = 0  # above 0: only where a wide table is asked for
    description: str = ""
    format: str = ""


AGE = Column(
    "Age",
    ".metadata.creationTimestamp",
    ColumnType.DATE,
    description="How long ago the object was created.",
)


MESH_GROUPS = frozenset(
    ("networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io")
)
"""Of kinds whose objects get the conditions Accepted and Programmed."""


class Kind(Struct, frozen=True, kw_only=True):
    group: str  # "" for the core kinds
    versions: tuple[str, ...]  # the first is the one we write; all have one schema
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()  # what else lists it: `kubectl get istio-io`
    columns: tuple[Column, ...] = (AGE,)  # after the name; those of `builtin` kinds may be computed instead
    namespaced: bool = True
    builtin: bool = (
        False  # a kind of Kubernetes itself: strategic merge patches, no definition among the CRDs
    )
    virtual: bool = False  # answered, never stored (access reviews)
    read_only: bool = False
    why_read_only: str = ""  # what whoever writes is told
    struct: type[Object]

    @property
    def resource(self) -> str:
        """As in store keys: `networking.istio.io/virtualservices`, core kinds `/services`."""
        return f"{self.group}/{self.plural}"

    @property
    def unique_name(self) -> str:
        """How it is told from every other kind: its name. Kinds of the Kubernetes Gateway API have their group with
        them, since one of them is called as one of Istio's."""
        return f"{self.kind}.{self.group}" if self.group == "gateway.networking.k8s.io" else self.kind

    @property
    def api_version(self) -> str:
        return self.api_versions[0]

    @property
    def api_versions(self) -> tuple[str, ...]:
        return tuple(f"{self.group}/{v}" if self.group else v for v in self.versions)
