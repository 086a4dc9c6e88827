"""What commands print for programs: JSON, YAML, names, and templates of JSON paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.runtime.errors import Failure

Json = dict[str, Any]
JSONPATH = "jsonpath="


def show(form: str, found: Any) -> bool:
    """Prints it where the form is for programs; else it is for the caller to print."""
    if form == "json":
        import json

        print(json.dumps(found, indent=2))
    elif form == "yaml":
        print(as_yaml(found), end="")
    elif form.startswith(JSONPATH):
        from argosy.cli.template import rendered

        print(rendered(form.removeprefix(JSONPATH), found))
    else:
        return False
    return True


def listed(items: Sequence[Json]) -> Json:
    """Objects of several kinds, as `kubectl get -o json` has them."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(items)}


def checked(form: str) -> str:
    """A template is refused before anything is asked. Raises Failure."""
    if form.startswith(JSONPATH):
        from argosy.cli.template import parsed

        try:
            parsed(form.removeprefix(JSONPATH))
        except ValueError as error:
            raise Failure(
                f"--output {form}: {error}", "as in jsonpath='{.items[*].metadata.name}'", code=2
            ) from error
    return form


def as_yaml(found: Any, *, sort: bool = False) -> str:
    """Text of several lines as it was written, line by line: what is shown can be edited."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return str(yaml.dump(found, Dumper=Dumper, sort_keys=sort, allow_unicode=True))
