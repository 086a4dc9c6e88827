"""`argosy explain-kind`: what a kind and its fields are for, without a server; as `kubectl explain` tells it of one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer

from argosy.runtime.errors import Failure

Json = dict[str, Any]
WIDTH = 76


def explain_kind(
    what: Annotated[
        str, typer.Argument(metavar="KIND[.FIELD…]", help="virtualservice, vs.spec.http.retries, …")
    ],
    api_version: Annotated[
        str, typer.Option("--api-version", metavar="GROUP/VERSION", help="Of this group and version.")
    ] = "",
    recursive: Annotated[bool, typer.Option("--recursive", help="The names of all fields below.")] = False,
) -> None:
    """Show what a kind and its fields are for.

    [bold]Examples[/bold]

    argosy explain-kind virtualservice

    argosy explain-kind vs.spec.http.retries

    argosy explain-kind gateway --api-version networking.istio.io/v1 --recursive
    """
    from argosy.cli.terminal import coloured

    bold, off = ("\x1b[1m", "\x1b[0m") if coloured() else ("", "")
    for line in explained(what, api_version, recursive=recursive):
        title, colon, rest = line.partition(":")
        heading = colon and title.isupper() and title.isalpha()
        print(f"{bold}{title}:{off}{rest}" if heading else line)


class Field(NamedTuple):
    """A field, or the object itself, with its schema: references resolved."""

    name: str
    type: str
    schema: Json
    required: bool = False
    told: str = ""  # what the field is for; the schema tells also what its type is


def explained(what: str, api_version: str = "", *, recursive: bool = False) -> Iterator[str]:
    """The lines. Raises Failure."""
    from argosy.apiserver.openapi_schemas import Schemas

    called, *path = what.split(".")
    kind, version = _kind(called, api_version)
    schemas = Schemas(kind.group, version, [kind])
    found = Field(kind.kind, "Object", schemas.found[schemas.name_of_kind(kind)])
    for depth, name in enumerate(path):
        found = _step(found, name, ".".join((called, *path[:depth])), schemas.found)
    if kind.group:
        yield f"GROUP:      {kind.group}"
    yield f"KIND:       {kind.kind}"
    yield f"VERSION:    {version}"
    yield ""
    if path:
        yield f"FIELD: {found.name} <{found.type}>{' -required-' if found.required else ''}"
        yield from _values(found.schema, "")
        yield ""
    yield "DESCRIPTION:"
    yield from _wrapped(found.schema.get("description", ""), "    ")
    fields = list(_fields(found.schema, schemas.found))
    if fields:
        yield ""
        yield "FIELDS:"
        yield from _tree(fields, schemas.found, "  ", ()) if recursive else _told(fields)


def _kind(called: str, api_version: str) -> tuple[Any, str]:
    from argosy.cli.connect import kind_called

    group, _, version = api_version.rpartition("/")
    kind = kind_called(f"{called}.{group}" if group else called)
    if version and version not in kind.versions:
        served = " or ".join(kind.api_versions)
        raise Failure(f"--api-version {api_version}: not of {kind.kind}", f"it is {served}", code=2)
    return kind, version or kind.versions[0]


def _step(within: Field, name: str, path: str, schemas: Json) -> Field:
    fields = {field.name: field for field in _fields(within.schema, schemas)}
    if name not in fields:
        known = f"its fields are {', '.join(fields)}" if fields else "it has no fields"
        raise Failure(f"{name}: not a field of {path}", known, code=2)
    return fields[name]


def _fields(schema: Json, schemas: Json) -> Iterator[Field]:
    """The fields of an object; of the entries of a list or a map."""
    inner: Json | None = _resolved(schema, schemas)
    while inner is not None and "properties" not in inner:
        entries = inner.get("items", inner.get("additionalProperties"))
        inner = _resolved(entries, schemas) if isinstance(entries, dict) else None
    if inner is None:
        return
    required = inner.get("required", ())
    for name, field in inner.get("properties", {}).items():
        inner = _resolved(field, schemas)
        told = field.get("description") or inner.get("description", "")
        yield Field(name, _type(field, schemas), inner, name in required, told)


def _resolved(schema: Json, schemas: Json) -> Json:
    """With what it refers to; its own description comes first."""
    for reference in (schema, *schema.get("allOf", ())):
        if "$ref" in reference:
            found: Json = schemas[reference["$ref"].rpartition("/")[2]]
            texts = [schema.get("description", ""), found.get("description", "")]
            return found | {"description": "\n\n".join(filter(None, dict.fromkeys(texts)))}
    return schema


def _type(schema: Json, schemas: Json) -> str:
    for reference in (schema, *schema.get("allOf", ())):
        if "$ref" in reference:
            return str(reference["$ref"].rpartition(".")[2])
    if isinstance(schema.get("items"), dict):
        return f"[]{_type(schema['items'], schemas)}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map[string]{_type(schema['additionalProperties'], schemas)}"
    if schema.get("x-kubernetes-int-or-string"):
        return "IntOrString"
    kind = str(schema.get("type", "Object"))
    return "Object" if kind == "object" else kind


def _told(fields: list[Field]) -> Iterator[str]:
    for number, field in enumerate(fields):
        if number:
            yield ""
        yield f"  {field.name}\t<{field.type}>{' -required-' if field.required else ''}"
        yield from _values(field.schema, "  ")
        yield from _wrapped(field.told, "    ")


def _tree(fields: list[Field], schemas: Json, indent: str, above: tuple[str, ...]) -> Iterator[str]:
    for field in fields:
        yield f"{indent}{field.name}\t<{field.type}>{' -required-' if field.required else ''}"
        if field.type not in above:  # a kind of field within itself is told once
            below = list(_fields(field.schema, schemas))
            within = (*above, field.type) if below else above
            yield from _tree(below, schemas, f"{indent}  ", within)


def _values(schema: Json, indent: str) -> Iterator[str]:
    """What may be written there, beside its type."""
    values = schema.get("enum") or (schema.get("items") or {}).get("enum")
    if values:
        yield f"{indent}ENUM: {', '.join(map(str, values))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and high < 2**31 - 1:
        yield f"{indent}RANGE: {low} to {high}"


def _wrapped(text: str, indent: str) -> Iterator[str]:
    for number, paragraph in enumerate((text or "<no description>").split("\n\n")):
        if number:
            yield indent.rstrip()
        yield from textwrap.wrap(
            paragraph, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
