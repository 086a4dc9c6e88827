"""`argosy explain-kind`: what a kind and its fields are for, without a server; as `kubectl explain` tells it of one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from argosy.cli.options import chosen_output, output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.resources.kinds import Kind

Json = dict[str, Any]
FORMS = ("text", "json", "yaml")
WIDTH = 76


def explain_kind(
    what: Annotated[
        str, typer.Argument(metavar="KIND[.FIELD…]", help="virtualservice, vs.spec.http.retries, …")
    ],
    api_version: Annotated[
        str, typer.Option("--api-version", metavar="GROUP/VERSION", help="Of this group and version.")
    ] = "",
    recursive: Annotated[bool, typer.Option("--recursive", help="The names of all fields below.")] = False,
    form: Annotated[str, output(*FORMS)] = "text",
) -> None:
    """Show what a kind and its fields are for.

    [bold]Examples[/bold]

    argosy explain-kind virtualservice

    argosy explain-kind vs.spec.http.retries

    argosy explain-kind gateway --api-version networking.istio.io/v1 --recursive

    argosy explain-kind vs.spec -o json
    """
    from argosy.cli import documents
    from argosy.cli.terminal import coloured

    chosen_output(form, FORMS)
    if form != "text":
        documents.show(form, for_programs(what, api_version, recursive=recursive))
        return
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


class Asked(NamedTuple):
    """What was asked for: a kind, and the field of it that the path leads to; "": the object itself."""

    kind: Kind
    version: str
    path: str
    field: Field
    schemas: Json


def found(what: str, api_version: str = "") -> Asked:
    """Raises Failure."""
    from argosy.apiserver.openapi_schemas import Schemas

    called, *path = what.split(".")
    kind, version = _kind(called, api_version)
    schemas = Schemas(kind.group, version, [kind])
    field = Field(kind.kind, "Object", schemas.found[schemas.name_of_kind(kind)])
    for depth, name in enumerate(path):
        field = _step(field, name, ".".join((called, *path[:depth])), schemas.found)
    return Asked(kind, version, ".".join(path), field, schemas.found)


def explained(what: str, api_version: str = "", *, recursive: bool = False) -> Iterator[str]:
    """The lines. Raises Failure."""
    kind, version, path, field, schemas = found(what, api_version)
    if kind.group:
        yield f"GROUP:      {kind.group}"
    yield f"KIND:       {kind.kind}"
    yield f"VERSION:    {version}"
    yield ""
    if path:
        yield f"FIELD: {field.name} <{field.type}>{' -required-' if field.required else ''}"
        yield from _values(field.schema, "")
        yield ""
    yield "DESCRIPTION:"
    yield from _wrapped(field.schema.get("description", ""), "    ")
    fields = list(_fields(field.schema, schemas))
    if fields:
        yield ""
        yield "FIELDS:"
        yield from _tree(fields, schemas, "  ", ()) if recursive else _told(fields)


def for_programs(what: str, api_version: str = "", *, recursive: bool = False) -> Json:
    """The same as a document: `field` has `name`, `type`, `required`, `description`, where there are any `enum`,
    `minimum`, `maximum`, and its `fields`; with `recursive` these have theirs, a kind of field within itself once.

    Raises Failure.
    """
    asked = found(what, api_version)
    field = _document(asked.field, asked.schemas, depth=None if recursive else 1)
    head = {"group": asked.kind.group, "version": asked.version, "kind": asked.kind.kind, "path": asked.path}
    return head | {"field": field}


def _document(field: Field, schemas: Json, *, depth: int | None, above: tuple[str, ...] = ()) -> Json:
    """`depth`: how many levels of fields below it; None: all."""
    values, low, high = _limits(field.schema)
    told = {
        "description": field.told or field.schema.get("description", ""),
        "enum": values,
        "minimum": low,
        "maximum": high,
    }
    said: Json = {"name": field.name, "type": field.type, "required": field.required}
    said |= {name: value for name, value in told.items() if value not in (None, "", [])}
    below = list(_fields(field.schema, schemas)) if depth != 0 and field.type not in above else []
    if below:
        less, within = None if depth is None else depth - 1, (*above, field.type)
        said["fields"] = [_document(one, schemas, depth=less, above=within) for one in below]
    return said


def _kind(called: str, api_version: str) -> tuple[Kind, str]:
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
    values, low, high = _limits(schema)
    if values:
        yield f"{indent}ENUM: {', '.join(map(str, values))}"
    if low is not None and high is not None:
        yield f"{indent}RANGE: {low} to {high}"


def _limits(schema: Json) -> tuple[list[Any], Any, Any]:
    """(the values that may be written, the least, the most); what a type of numbers ends at is no limit."""
    values = schema.get("enum") or (schema.get("items") or {}).get("enum") or []
    low, high = schema.get("minimum"), schema.get("maximum")
    return list(values), low, high if high is not None and high < 2**31 - 1 else None


def _wrapped(text: str, indent: str) -> Iterator[str]:
    for number, paragraph in enumerate((text or "<no description>").split("\n\n")):
        if number:
            yield indent.rstrip()
        yield from textwrap.wrap(
            paragraph, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
