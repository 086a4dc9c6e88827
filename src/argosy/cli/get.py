"""`argosy get`: what the mesh is configured with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from argosy.cli.options import Namespace, StateDir, chosen_output

Json = dict[str, Any]


def get(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="virtualservices, vs, services, …")],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="One object alone.")] = "",
    namespace: Namespace = "default",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")] = False,
    selector: Annotated[
        str, typer.Option("--selector", "-l", metavar="KEY=VALUE", help="With these labels.")
    ] = "",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FORMAT", help="table, json or yaml.")
    ] = "table",
    state_dir: StateDir = "",
) -> None:
    """Show resources.

    [bold]Examples[/bold]

    argosy get vs

    argosy get workloadentries -A

    argosy get destinationrule reviews -o yaml
    """
    import json

    from argosy.cli.connect import api, kind_called
    from argosy.cli.terminal import say, table
    from argosy.runtime.errors import Failure

    form = chosen_output(output, ("table", "json", "yaml"))
    which = kind_called(kind)
    if name and everywhere:
        raise Failure(f"{name} of all namespaces?", "name one namespace with -n", code=2)
    with api(state_dir) as client:
        if name:
            found = client.get(which, name, namespace)
            items = [found]
        else:
            where = namespace if which.namespaced and not everywhere else None
            found = client.list(which, where, label_selector=selector)
            items = found.get("items") or []
    if form == "json":
        print(json.dumps(found, indent=2))
    elif form == "yaml":
        print(as_yaml(found), end="")
    elif not items:
        say(
            f"no {which.plural}"
            + (f" in namespace {namespace}" if which.namespaced and not everywhere else "")
        )
    else:
        shown = COLUMNS.get(which.kind, ())
        leading = ["NAMESPACE"] if everywhere and which.namespaced else []
        now = datetime.now(UTC)
        rows = [
            [item["metadata"].get("namespace", "") for _ in leading]
            + [item["metadata"]["name"], *(column(item) for _, column in shown), age(item, now)]
            for item in items
        ]
        table([*leading, "NAME", *(title for title, _ in shown), "AGE"], rows)


def as_yaml(found: Json) -> str:
    """Text of several lines as it was written, line by line: what is shown can be edited."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return str(yaml.dump(found, Dumper=Dumper, sort_keys=False, allow_unicode=True))


def age(item: Json, now: datetime) -> str:
    from argosy.cli.ps import age as told

    created = item["metadata"].get("creationTimestamp")
    if not created:
        return "-"
    return told((now - datetime.fromisoformat(created)).total_seconds())


def joined(values: Any) -> str:
    return ", ".join(str(value) for value in values or ()) or "-"


def spec(item: Json) -> Json:
    found = item.get("spec")
    return found if isinstance(found, dict) else {}


def pairs(values: Any) -> str:
    return ",".join(f"{k}={v}" for k, v in (values or {}).items()) or "-"


def healthy(item: Json) -> str:
    """An entry without a health condition is taken as healthy."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((c.get("status", "-") for c in conditions if c.get("type") == "Healthy"), "-")


def ports(item: Json) -> str:
    return joined(
        f"{p.get('port', p.get('number'))}/{p.get('name') or '-'}" for p in spec(item).get("ports") or ()
    )


COLUMNS: dict[str, tuple[tuple[str, Callable[[Json], str]], ...]] = {
    "Service": (("PORTS", ports), ("SELECTOR", lambda item: pairs(spec(item).get("selector")))),
    "VirtualService": (
        ("HOSTS", lambda item: joined(spec(item).get("hosts"))),
        ("GATEWAYS", lambda item: joined(spec(item).get("gateways"))),
    ),
    "DestinationRule": (
        ("HOST", lambda item: str(spec(item).get("host", "-"))),
        ("SUBSETS", lambda item: joined(s.get("name") for s in spec(item).get("subsets") or ())),
    ),
    "Gateway": (
        ("SELECTOR", lambda item: pairs(spec(item).get("selector"))),
        (
            "PORTS",
            lambda item: joined(s.get("port", {}).get("number") for s in spec(item).get("servers") or ()),
        ),
    ),
    "ServiceEntry": (
        ("HOSTS", lambda item: joined(spec(item).get("hosts"))),
        ("RESOLUTION", lambda item: str(spec(item).get("resolution", "NONE"))),
    ),
    "WorkloadEntry": (
        ("ADDRESS", lambda item: str(spec(item).get("address", "-"))),
        ("HEALTHY", healthy),
        ("LABELS", lambda item: pairs(spec(item).get("labels") or item["metadata"].get("labels"))),
    ),
    "PeerAuthentication": (("MODE", lambda item: str((spec(item).get("mtls") or {}).get("mode", "UNSET"))),),
    "Secret": (("TYPE", lambda item: str(item.get("type", "Opaque"))),),
}
