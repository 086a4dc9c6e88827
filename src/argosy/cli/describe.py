"""`argosy describe`: a resource as a person asks about it: what it is, whether it is in force, which proxies run it,
and what has happened to it.

Rule: values of secrets are not shown. What the asker may not see (events, proxies) is left out with a word about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from argosy.cli.options import (
    Everywhere,
    LabelSelector,
    MaybeFiles,
    OfContext,
    Recursive,
    StateDir,
    What,
    chosen_output,
    output,
)

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.cli.targets import Target

Json = dict[str, Any]
FORMS = ("text", "json", "yaml")
GATEWAY_API = "gateway.networking.k8s.io"
SERVED = ("/services", "/endpoints", "discovery.k8s.io/endpointslices", "networking.k8s.io/ingresses")
"""Kinds of Kubernetes that proxies know of."""
EVENTS_OF_THE_CLUSTER = "default"
"""The namespace of events about objects that have none. # Kubernetes: client-go tools/record"""
NOT_BODY = ("apiVersion", "kind", "metadata", "status")
CONDITIONS = ("TYPE", "STATUS", "REASON", "AGE", "MESSAGE")
EVENTS = ("LAST SEEN", "TYPE", "REASON", "FROM", "MESSAGE")
WIDTH = 14
LONGEST = 120


def describe(
    what: What = None,
    filename: MaybeFiles = None,
    recursive: Recursive = False,
    namespace: OfContext = "",
    everywhere: Everywhere = False,
    selector: LabelSelector = "",
    form: Annotated[str, output(*FORMS)] = "text",
    state_dir: StateDir = "",
) -> None:
    """Show resources in full: their status, the proxies that run them, and their events.

    [bold]Examples[/bold]

    argosy describe vs reviews

    argosy describe dr -l app=reviews
    """
    from argosy.cli import documents
    from argosy.cli.apply import checked, quiet
    from argosy.cli.connect import api
    from argosy.cli.targets import choice, wanted
    from argosy.cli.terminal import say

    chosen_output(form, FORMS)
    objects = checked(filename, quiet) if filename else None
    words = what or ()
    every = objects is None and not selector and not any(one.names for one in wanted(words))
    chosen = choice(words, objects, selector, every=every, everywhere=everywhere)
    with api(state_dir) as client:
        targets = chosen.targets(client, namespace or client.connection.namespace)
        told = [gathered(client, target) for target in targets]
    if not targets:
        say("there is none")
    if documents.show(form, told[0] if len(told) == 1 else told):
        return
    for number, (target, one) in enumerate(zip(targets, told, strict=True)):
        if number:
            print("\n")
        for line in lines(target, one):
            print(line)


def gathered(client: ApiClient, target: Target) -> Json:
    """`object`, `events`, `delivery` (how its proxies stand; null for kinds that no proxy knows of) and `withheld`."""
    from argosy.cli.connect import OPERATIONS
    from argosy.cli.masking import masked, size
    from argosy.cli.printing import shorn

    obj = target.read(client)
    withheld: list[str] = []
    events = _allowed(withheld, "events", lambda: _events(client, target, obj)) or []
    delivery = None
    if _has_proxies(target):
        params = {"object": target.subject, "revision": "0", "timeout": "0"}
        delivery = _allowed(
            withheld, "proxies", lambda: client.request("GET", f"{OPERATIONS}/delivery", params=params)
        )
    shown = masked(target.kind.resource, shorn(obj))
    if target.kind.resource == "/secrets" and isinstance(obj.get("data"), dict):
        shown = shown | {"data": {name: size(value) for name, value in obj["data"].items()}}
    return {"object": shown, "events": events, "delivery": delivery, "withheld": withheld}


def _has_proxies(target: Target) -> bool:
    group = target.kind.group
    return group.endswith(".istio.io") or group == GATEWAY_API or target.kind.resource in SERVED


def _events(client: ApiClient, target: Target, obj: Json) -> list[Json]:
    """Of this object, not of others that had its name; the oldest first."""
    from argosy.cli.connect import kind_called

    selector = f"involvedObject.kind={target.kind.kind},involvedObject.name={target.name}"
    where = target.namespace or EVENTS_OF_THE_CLUSTER
    found = client.list(kind_called("events"), where, field_selector=selector).get("items") or []
    uid = obj["metadata"].get("uid")
    ours = [event for event in found if event["involvedObject"].get("uid") in (None, "", uid)]
    return sorted(ours, key=_moment)


def _allowed(withheld: list[str], what: str, ask: Callable[[], Any]) -> Any:
    """What is asked for; None where the asker may not see it."""
    from argosy.apiserver.client import ApiError

    try:
        return ask()
    except ApiError as error:
        if error.http_code != 403:
            raise
        withheld.append(what)
        return None


def lines(target: Target, told: Json) -> Iterator[str]:
    obj = told["object"]
    now = datetime.now(UTC)
    yield from _head(target, obj, now)
    status = obj.get("status") or {}
    rest = {key: value for key, value in status.items() if key not in ("conditions", "observedGeneration")}
    for field, value in ({k: v for k, v in obj.items() if k not in NOT_BODY} | {"status": rest}).items():
        if value not in (None, "", {}, []):
            yield from ("", *_body(field, value))
    yield from _table(
        "Conditions", CONDITIONS, [_condition(one, now) for one in status.get("conditions") or ()]
    )
    if told["delivery"] is not None:
        yield from _proxies(told["delivery"])
    yield from _table("Events", EVENTS, [_event(one, now) for one in told["events"]])
    for what in told["withheld"]:
        yield from ("", f"{what.capitalize()}: you may not see them (argosy auth can-i --list)")


def _head(target: Target, obj: Json, now: datetime) -> Iterator[str]:
    metadata = obj["metadata"]
    owners = [f"{one.get('kind')}/{one.get('name')}" for one in metadata.get("ownerReferences") or ()]
    facts: tuple[tuple[str, Sequence[str]], ...] = (
        ("Name", [target.name]),
        ("Namespace", [target.namespace]),
        ("Kind", [f"{target.kind.kind} ({obj.get('apiVersion', target.kind.api_version)})"]),
        ("Labels", _pairs(metadata.get("labels"))),
        ("Annotations", _pairs(metadata.get("annotations"))),
        ("Created", [_when(metadata.get("creationTimestamp"), now)]),
        ("Deleted", [_when(metadata.get("deletionTimestamp"), now)]),
        ("Finalizers", metadata.get("finalizers") or ()),
        ("Owners", owners),
        ("Generation", [str(metadata.get("generation") or "")]),
    )
    for title, values in facts:
        for number, value in enumerate(each for each in values if each):
            yield f"{'' if number else title + ':':<{WIDTH}}{value}"


def _pairs(found: Json | None) -> list[str]:
    return [f"{key}={shortened(str(value))}" for key, value in sorted((found or {}).items())]


def shortened(text: str) -> str:
    """The beginning of what is long or has several lines: the whole is in `get -o yaml`."""
    line, _, more = text.partition("\n")
    return f"{line[:LONGEST]}…" if more or len(line) > LONGEST else line


def _when(moment: str | None, now: datetime) -> str:
    from argosy.resources import age

    ago = age.since(moment, now)
    return f"{moment} ({ago} ago)" if ago else moment or ""


def _body(field: str, value: Any) -> Iterator[str]:
    from argosy.cli.documents import as_yaml

    yield f"{field[:1].upper()}{field[1:]}:"
    text = as_yaml(value) if isinstance(value, (dict, list)) else f"{value}\n"
    yield from (f"  {line}".rstrip() for line in text.splitlines())


def _condition(one: Json, now: datetime) -> list[str]:
    since = _ago(one.get("lastTransitionTime"), now)
    return [str(one.get(field) or "") for field in ("type", "status", "reason")] + [
        since,
        str(one.get("message") or ""),
    ]


def _proxies(delivery: Json) -> Iterator[str]:
    """Every proxy that the object matters to."""
    found = [[name, "live", ""] for name in delivery.get("proxies") or ()]
    found += [[name, "waiting", "it has not answered yet"] for name in delivery.get("pending") or ()]
    for one in delivery.get("rejected") or ():
        what = " ".join(part for part in (one.get("type"), one.get("resource")) if part)
        found.append(
            [one.get("proxy", ""), "refused", ": ".join(part for part in (what, one.get("message")) if part)]
        )
    reason = delivery.get("reason") or ""
    if found:
        yield from _table("Proxies", ("NAME", "STATE", "DETAIL"), sorted(found))
        if reason:
            yield f"  {reason}"
    else:
        yield from ("", f"Proxies: {reason or 'no connected proxy uses it'}")
    if away := delivery.get("disconnected"):
        yield f"  not connected, so not asked: {', '.join(away)}"


def _event(one: Json, now: datetime) -> list[str]:
    count = (one.get("series") or {}).get("count") or one.get("count") or 1
    ago = _ago(_moment(one), now)
    source = one.get("reportingComponent") or (one.get("source") or {}).get("component") or ""
    return [
        f"{ago} (x{count})" if count > 1 else ago,
        str(one.get("type") or ""),
        str(one.get("reason") or ""),
        str(source),
        str(one.get("message") or "").strip(),
    ]


def _moment(event: Json) -> str:
    """When it happened last."""
    observed = (event.get("series") or {}).get("lastObservedTime")
    moments = (observed, event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    return next((str(moment) for moment in moments if moment), event["metadata"].get("creationTimestamp", ""))


def _ago(moment: Any, now: datetime) -> str:
    from argosy.resources import age

    return age.since(moment, now) or "<unknown>"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    from argosy.cli.terminal import plain

    if rows:
        yield from ("", f"{title}:")
        yield from (f"  {line}" for line in plain(columns, rows).splitlines())
