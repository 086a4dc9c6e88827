"""Kinds of `apiextensions.k8s.io`: what tells clients of Kubernetes which kinds of the mesh there are.

The definitions are made from the list of kinds (`definitions.py`); they are read, never written.
# Kubernetes: apiextensions/v1 CustomResourceDefinition
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from argosy.resources.kind import Kind
from argosy.resources.meta import Condition, Object

GROUP = "apiextensions.k8s.io"

_BY_NAME = Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})
_BY_TYPE = Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})


class Names(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the kind is called, by people and in paths."""

    kind: str
    """The kind, in CamelCase and in the singular."""
    plural: str
    """The plural: the name of the resource in paths."""
    singular: str = ""
    """The singular, in lower case."""
    list_kind: str = ""
    """The kind of a list of such objects."""
    short_names: tuple[str, ...] = ()
    """Short names to type."""
    categories: tuple[str, ...] = ()
    """Names of groups of kinds that list it too, as `istio-io`."""


class Validation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What an object may look like."""

    schema: dict[str, Any] = field(default_factory=dict, name="openAPIV3Schema")
    """The structural schema of an object."""


class PrinterColumn(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A column of a table of such objects."""

    name: str
    """What stands above the column."""
    type: str
    """string, integer, number, boolean, or date, which is told as an age."""
    json_path: str
    """Where in the object its cells come from."""
    format: str = ""
    """A finer type, for programs."""
    description: str = ""
    """What the column tells."""
    priority: int = 0
    """Above 0: shown in wide tables alone."""


class Version(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One version of the kind."""

    name: str
    """The version, as v1 or v1beta1."""
    served: bool
    """Whether the server knows it."""
    storage: bool
    """Whether objects are stored in it: of one version alone."""
    deprecated: bool = False
    """Whether clients are warned of it."""
    deprecation_warning: str | None = None
    """What they are warned with."""
    schema: Validation | None = None
    """What objects of the version may look like."""
    subresources: dict[str, Any] | None = None
    """Which parts of the object have a path of their own: the status."""
    selectable_fields: tuple[dict[str, Any], ...] = ()
    """Fields that field selectors may name."""
    additional_printer_columns: tuple[PrinterColumn, ...] = ()
    """The columns of a table, after the name."""


class CustomResourceDefinitionSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Names, scope and versions of the kind."""

    group: str
    """The group of the kind."""
    names: Names
    """What the kind is called."""
    scope: str
    """Namespaced or Cluster."""
    versions: Annotated[tuple[Version, ...], _BY_NAME]
    """Its versions, the one that is stored first."""
    conversion: dict[str, Any] | None = None
    """How versions are converted: they differ in their names alone."""
    preserve_unknown_fields: bool = False
    """Whether fields that the schema does not have are kept."""


class CustomResourceDefinitionStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether the kind is served."""

    conditions: Annotated[tuple[Condition, ...], _BY_TYPE] = ()
    """NamesAccepted: its names are its own; Established: it is served."""
    accepted_names: Names | None = None
    """The names it is served under."""
    stored_versions: tuple[str, ...] = ()
    """The versions that objects are stored in."""


class CustomResourceDefinition(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A kind that Kubernetes itself does not have. The mesh's own are all there, and cannot be changed."""

    spec: CustomResourceDefinitionSpec
    """Names, scope and versions of the kind."""
    status: CustomResourceDefinitionStatus = CustomResourceDefinitionStatus()
    """Whether the kind is served."""


KINDS = (
    Kind(
        group=GROUP,
        versions=("v1",),
        kind="CustomResourceDefinition",
        plural="customresourcedefinitions",
        singular="customresourcedefinition",
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        namespaced=False,
        builtin=True,
        virtual=True,
        read_only=True,
        struct=CustomResourceDefinition,
    ),
)
