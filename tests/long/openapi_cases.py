"""Requests for the operations of our OpenAPI v3 documents, most of which come past the door.

Of a schema alone schemathesis makes bodies that validation refuses. So most bodies are good objects with some damage,
for paths that lead to what is there, with tokens, revisions and identities of earlier answers. Some are schemathesis'
own, or have parts of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from msgspec import Struct

from argosy.resources.kinds import SERVED, Kind
from tests.long import known_good, mutations
from tests.long.api_state import NAMES, NAMESPACES, Name, State
from tests.long.conftest import count
from tests.unit.apiserver.test_any_request import JSON as ANYTHING

Json = dict[str, Any]
Case = Any
"""A schemathesis.Case."""

ANSWER_WITHIN = 60.0
"""Seconds for one request, whatever else runs on this machine: a bound for a hang, not a measure."""
CASES = count(full=4, short=1)
"""Of one operation, that schemathesis makes at once."""
BY_SCHEMA = 0.04
"""Which part of the requests schemathesis makes: one costs as much time as ten others."""
KINDS = {(kind.group, kind.kind): kind for kind in SERVED}
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
MANAGERS = ("fuzz", "ann", "kubectl", "x" * 129, "")
QUERIES: dict[str, tuple[dict[str, str], ...]] = {
    "write": (
        {},
        {},
        {"fieldManager": "ann"},
        {"fieldValidation": "Ignore"},
        {"fieldValidation": "Warn"},
        {"fieldValidation": "Strict", "pretty": "true"},
        {"dryRun": "All"},
    ),
    "delete": (
        {},
        {"propagationPolicy": "Foreground"},
        {"propagationPolicy": "Orphan"},
        {"propagationPolicy": "Background", "gracePeriodSeconds": "0"},
        {"orphanDependents": "true"},
        {"dryRun": "All"},
    ),
    "select": (
        {},
        {"labelSelector": "app=reviews"},
        {"labelSelector": "app in (reviews,ratings),tier!=b"},
        {"labelSelector": "!app"},
        {"labelSelector": "tier"},
        {"fieldSelector": "metadata.name=o1"},
        {"fieldSelector": "metadata.namespace!=shop"},
    ),
    "page": (
        {},
        {},
        {"limit": "1"},
        {"limit": "2"},
        {"limit": "500"},
        {"resourceVersion": "0"},
        {"resourceVersionMatch": "NotOlderThan"},
        {"resourceVersionMatch": "Exact"},
    ),
}
ODD_QUERY = (
    "",
    "-1",
    "x",
    "true",
    "0",
    "All",
    "Exact",
    "99999999999999999999",
    "é",
    "a=b,c in (d)",
    "[" * 50,
)
MEDIA = (
    *["application/json"] * 5,
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
)


class Request(Struct, frozen=True, kw_only=True):
    """One that is ready to be sent, and what it is about."""

    method: str
    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: bytes = b""
    kind: Kind | None = None  # None: discovery
    version: str = ""
    namespace: str = ""
    name: str = ""
    part: str = ""  # "status"

    @property
    def dry(self) -> bool:
        if self.method == "DELETE" and self.body.strip():  # then its options count alone
            options = self._options()
            return bool(isinstance(options, dict) and options.get("dryRun"))
        return bool(self.query.get("dryRun"))

    def _options(self) -> Any:
        try:
            if self.headers.get("content-type") == "application/json":
                return json.loads(self.body)
            return yaml.safe_load(self.body)
        except (ValueError, yaml.YAMLError):  # nor does the server read it
            return None

    def __str__(self) -> str:
        url = f"{self.path}?{urlencode(self.query)}" if self.query else self.path
        return f"{self.method} {url} {self.headers} {self.body[:1500]!r}"


class Operation(Struct, frozen=True, kw_only=True):
    method: str
    path: str  # with `{namespace}`, `{name}`
    kind: Kind | None
    version: str
    described: Any = None  # schemathesis' own operation

    @property
    def of_object(self) -> bool:
        return "{name}" in self.path

    def at(self, namespace: str = "", name: str = "") -> str:
        """The path of it there."""
        return self.path.replace("{namespace}", quote(namespace, safe="")).replace(
            "{name}", quote(name, safe="")
        )


def operations(read: Callable[[str], Json], *, by_schema: bool = True) -> Iterator[Operation]:
    """Of every document, in their order. `read`: what is answered to a GET of that path.

    `by_schema`: schemathesis is to make requests for them, too; it takes its time to read the documents.
    """
    for name in sorted(read("/openapi/v3")["paths"]):
        document = read(f"/openapi/v3/{name}")
        described = _described(document) if by_schema else {}
        for path, item in document["paths"].items():
            for method in (each for each in item if each in METHODS):
                gvk = item[method].get("x-kubernetes-group-version-kind")
                yield Operation(
                    method=method.upper(),
                    path=path,
                    kind=KINDS[gvk["group"], gvk["kind"]] if gvk else None,
                    version=gvk["version"] if gvk else "",
                    described=described[method, path] if by_schema else None,
                )


def _described(document: Json) -> dict[tuple[str, str], Any]:
    """(method, path) -> schemathesis' own operation."""
    schema = schemathesis.openapi.from_dict(document)
    every: list[Any] = [
        result.ok()  # type: ignore[union-attr]  # raises where our document is wrong
        for result in schema.get_all_operations()
    ]
    return {(each.method.lower(), each.path): each for each in every}


def collection(kind: Kind, namespace: str = "", version: str = "") -> str:
    version = version or kind.versions[0]
    base = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    return f"{base}/namespaces/{namespace}/{kind.plural}" if namespace else f"{base}/{kind.plural}"


def creation(kind: Kind, body: Json, namespace: str, version: str = "") -> Request:
    """The plain one that makes this object."""
    return Request(
        method="POST",
        path=collection(kind, namespace if kind.namespaced else "", version),
        headers={"content-type": "application/json"},
        body=_json(body),
        kind=kind,
        version=version or kind.versions[0],
        namespace=namespace if kind.namespaced else "",
    )


class Maker:
    """Makes requests for operations, by the dice and by what is known. A run with the same dice makes the same ones."""

    def __init__(self, dice: random.Random, state: State, odd: mutations.Odd | None = None) -> None:
        self.dice, self.state = dice, state
        self._odd = odd or odd_values(dice)
        self._drawn: dict[str, list[Any]] = {}
        self._bodies: dict[str, list[Any]] = {}
        """Of which parts are put in others: unique name of a kind -> what schemathesis has made for it."""

    def request(self, operation: Operation) -> Request:
        if operation.described is not None and self.dice.random() < BY_SCHEMA:
            return self._by_schema(operation, self._case(operation))
        namespace, name = self._place(operation)
        headers = {"accept": self.dice.choice(MEDIA)}
        query, body = self._query(operation, namespace), b""
        if operation.kind is not None and operation.method in ("POST", "PUT", "PATCH", "DELETE"):
            kind, body = self._body(operation, operation.kind, namespace, name)
            headers |= {"content-type": kind} if kind else {}
            if kind == mutations.APPLY:
                query.setdefault("fieldManager", "fuzz")
                query |= {"force": "true"} if self.dice.random() < 0.6 else {}
        return self._made(operation, namespace, name, query, headers, body)

    def _case(self, operation: Operation) -> Case:
        case = self._draw(f"{operation.method} {operation.path}", operation.described.as_strategy(), CASES)
        if operation.kind is not None and isinstance(case.body, dict):
            self._bodies.setdefault(operation.kind.unique_name, []).append(case.body)
        return case

    def _draw(self, of: str, strategy: st.SearchStrategy[Any], number: int) -> Any:
        """A value of that strategy; `number` are made at once."""
        stock = self._drawn.setdefault(of, [])
        if not stock:
            stock += drawn(strategy, number, self.dice.getrandbits(32))
        return stock.pop()

    def _made(
        self,
        operation: Operation,
        namespace: str,
        name: str,
        query: Json,
        headers: dict[str, str],
        body: bytes,
    ) -> Request:
        return Request(
            method=operation.method,
            path=operation.at(namespace, name),
            query=query,
            headers=headers,
            body=body,
            kind=operation.kind,
            version=operation.version,
            namespace=namespace,
            name=name,
            part="status" if operation.path.endswith("{name}/status") else "",
        )

    # --- where ------------------------------------------------------------------------------------------------------

    def _place(self, operation: Operation) -> Name:
        """(namespace, name) for the path."""
        kind, dice = operation.kind, self.dice
        if kind is None:
            return "", ""
        scoped = "{namespace}" in operation.path
        if operation.of_object and (known := self.state.names(kind)) and dice.random() < 0.85:
            kept = self.state.kept(kind)
            return dice.choice(kept if kept and dice.random() < 0.5 else known)
        namespace = self._namespace() if scoped else ""
        if not operation.of_object:
            return namespace, ""
        names = (*NAMES, "absent", "default", "A", "a b", "é", "status")
        return namespace, dice.choice(names) if dice.random() < 0.9 else str(
            self._draw("segments", _SEGMENTS, 50)
        )

    def _namespace(self) -> str:
        there = self.state.open()
        if there and self.dice.random() < 0.9:
            return self.dice.choice(there)
        return self.dice.choice((*NAMESPACES, "absent", "A", "é"))

    # --- with what --------------------------------------------------------------------------------------------------

    def _query(self, operation: Operation, namespace: str) -> dict[str, str]:
        dice = self.dice
        query: dict[str, str] = {}
        if operation.method in ("POST", "PUT", "PATCH"):
            query |= dice.choice(QUERIES["write"])
            if dice.random() < 0.1:
                query["fieldManager"] = dice.choice(MANAGERS)
        elif operation.method == "DELETE":
            query |= dice.choice(QUERIES["delete"])
            if not operation.of_object:
                query |= dice.choice(QUERIES["select"] if dice.random() < 0.5 else QUERIES["select"][1:])
                query |= dice.choice(QUERIES["page"][:5])
        elif operation.kind is not None and not operation.of_object:
            query |= self._listed(operation, namespace)
        if dice.random() < 0.06:
            names = ("limit", "continue", "dryRun", "resourceVersion", "labelSelector", "fieldSelector", "watch",
                     "includeObject", "propagationPolicy", "fieldValidation", "force", "timeoutSeconds")  # fmt: skip
            query[dice.choice(names)] = dice.choice(ODD_QUERY)
        if query.get("watch") is not None:
            query["timeoutSeconds"] = "1"  # a watch that lasts is no hang
        return query

    def _listed(self, operation: Operation, namespace: str) -> dict[str, str]:
        dice = self.dice
        token = self.state.tokens.get(operation.at(namespace))
        query = dict(dice.choice(QUERIES["select"]))
        if token and dice.random() < 0.5:
            return query | {"limit": "2", "continue": token}
        if dice.random() < 0.02:
            query["watch"] = "true"
            query |= {"allowWatchBookmarks": "true"} if dice.random() < 0.5 else {}
            if dice.random() < 0.3:
                query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            query |= dice.choice(QUERIES["page"])
        wants = "watch" in query or "resourceVersionMatch" in query
        if (
            self.state.revisions
            and "resourceVersion" not in query
            and dice.random() < (0.9 if wants else 0.1)
        ):
            query["resourceVersion"] = dice.choice(self.state.revisions)
        return query

    def _body(self, operation: Operation, kind: Kind, namespace: str, name: str) -> tuple[str, bytes]:
        """(media type, body)."""
        dice = self.dice
        if operation.method == "DELETE":
            return self._delete_options(kind, namespace, name)
        if operation.method == "POST":
            wanted = self._good(kind, operation.version, namespace)
            return self._written(self._damaged(kind, wanted, namespace))
        live = self.state.get(kind, (namespace, name))
        base = self._good(kind, operation.version, namespace, name)
        if live is not None and dice.random() < 0.5:
            base = {k: v for k, v in live.items() if k != "apiVersion"} | {"apiVersion": base["apiVersion"]}
        if operation.path.endswith("/status"):
            base = (base if live is None else live | {"apiVersion": base["apiVersion"]}) | {
                "status": known_good.status(dice, kind, base)
            }
        base = base | {"metadata": base["metadata"] | self._identity(live)}
        wanted = self._damaged(kind, base, namespace)
        if operation.method == "PUT":
            return self._written(wanted)
        kinds = (
            mutations.JSON_PATCH,
            mutations.MERGE,
            mutations.APPLY,
            *((mutations.STRATEGIC,) if kind.builtin or dice.random() < 0.05 else ()),
        )
        media, sent = mutations.patch(dice, live or base, wanted, self._odd, kinds)
        return media, self._written(sent)[1] if media == mutations.APPLY else _json(sent)

    def _good(self, kind: Kind, version: str, namespace: str, name: str = "") -> Json:
        """A valid object, of that name or of one that is free most of the time."""
        dice = self.dice
        api_version = f"{kind.group}/{version}" if kind.group else version
        if not name:
            known = NAMES if kind.namespaced else (*NAMES, *NAMESPACES)
            free = self.state.free(dice, kind, namespace)
            name = free if dice.random() < 0.9 else dice.choice(known)
        return known_good.some(dice, kind, api_version, namespace, name)

    def _damaged(self, kind: Kind, obj: Json, namespace: str) -> Json:
        others = self._bodies.get(kind.unique_name)
        if others and self.dice.random() < 0.15:
            return mutations.spliced(self.dice, obj, self.dice.choice(others))
        if self.dice.random() < 0.4:
            return obj
        return mutations.mutated(self.dice, obj, self._odd, self.state.owners(namespace))

    def _identity(self, live: Json | None) -> Json:
        """What an update may say of which object and revision it means; rarely wrong."""
        dice, found = self.dice, {}
        given = live["metadata"] if live is not None else {}
        if dice.random() < 0.4:
            found["resourceVersion"] = given.get("resourceVersion", "")
        if dice.random() < 0.2:
            found["uid"] = given.get("uid", "")
        if self.state.revisions and dice.random() < 0.05:
            found["resourceVersion"] = dice.choice(self.state.revisions)
        if self.state.uids and dice.random() < 0.05:
            found["uid"] = dice.choice(self.state.uids)
        return {"resourceVersion": "", "uid": ""} | found

    def _delete_options(self, kind: Kind, namespace: str, name: str) -> tuple[str, bytes]:
        dice = self.dice
        if dice.random() < 0.7:
            return "", b""
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if dice.random() < 0.5:
            options["propagationPolicy"] = dice.choice(("Foreground", "Background", "Orphan", "x"))
        if name and dice.random() < 0.6:
            options["preconditions"] = {
                k: v for k, v in self._identity(self.state.get(kind, (namespace, name))).items() if v
            }
        if dice.random() < 0.2:
            options[dice.choice(("dryRun", "gracePeriodSeconds", "orphanDependents", "preconditions"))] = (
                ["All"] if dice.random() < 0.5 else self._odd()
            )
        return self._written(options)

    def _written(self, body: Any) -> tuple[str, bytes]:
        if self.dice.random() < 0.15:
            try:
                return "application/yaml", yaml.safe_dump(body, allow_unicode=True).encode()
            except (yaml.YAMLError, UnicodeEncodeError):
                pass
        return "application/json", _json(body)

    def _by_schema(self, operation: Operation, case: Case) -> Request:
        """As schemathesis made it, at what is there."""
        namespace, name = self._place(operation)
        query = dict(case.query or {}) if self.dice.random() < 0.2 else self._query(operation, namespace)
        if query.get("watch") is not None:
            query["timeoutSeconds"] = "1"
        case.path_parameters, case.query = {"namespace": namespace, "name": name}, query
        case.headers["accept"] = self.dice.choice(MEDIA)
        prepared = requests.Request(**_kept(case.as_transport_kwargs(base_url="http://api"))).prepare()
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
        sent = dict(parse_qsl(urlsplit(prepared.url or "").query, keep_blank_values=True))
        headers = {k: v for k, v in prepared.headers.items() if k.lower() in ("content-type", "accept")}
        return self._made(operation, namespace, name, sent, headers, bytes(body))


def odd_values(dice: random.Random) -> mutations.Odd:
    """JSON values of any kind, of which many are made at once."""
    stock: list[Any] = []

    def odd() -> Any:
        if not stock:
            stock.extend(drawn(ANYTHING, 200, dice.getrandbits(32)))
        return stock.pop()

    return odd


def drawn(strategy: st.SearchStrategy[Any], number: int, seed: int) -> list[Any]:
    """So many values, or all where there are fewer; without the simplest, with which hypothesis begins each time."""
    found: list[Any] = []

    @seeded(seed)
    @settings(
        max_examples=number + 1,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(value: Any) -> None:
        found.append(value)

    one()
    return found[1:] or found


_SEGMENTS = st.text(min_size=1, max_size=20).filter(lambda text: text not in (".", ".."))


def _kept(arguments: Json) -> Json:
    return {
        k: v
        for k, v in arguments.items()
        if k in ("method", "url", "headers", "params", "data", "json", "files")
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
