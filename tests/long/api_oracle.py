"""Sends requests to a running server, one after the other, and says where an answer is none that the API may give.

Always: below 500, in time, and a refusal is a Status. After writes: what was answered stands there, identities and
generations are in order, a dry run has changed nothing, the same apply again changes nothing. Between them: pages add
up to the list, and a list with the changes since is the list of later.

The server changes things by itself, too: statuses and revisions, marks of deletion, and what lost its owner or its
namespace goes. What such a change can explain is no failure.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, deque
from typing import Any

import requests

from argosy.resources.kinds import Kind
from tests.long import known_good
from tests.long.api_state import Name, State
from tests.long.openapi_cases import ANSWER_WITHIN, Request, collection, creation
from tests.long.taken import Codes

Json = dict[str, Any]

SHOWN = 15
"""Requests before a failure that are printed."""


class Api:
    """The server, as its one client sees it."""

    def __init__(self, url: str, session: requests.Session, state: State) -> None:
        self.url, self.session, self.state = url, session, state
        self.codes: Codes = Counter()
        """Of what was fuzzed: what is asked beside it does not count."""
        self.history: deque[str] = deque(maxlen=SHOWN)

    def fuzzed(self, request: Request, dice: random.Random) -> None:
        """Sends it, and looks at what has become of things. Raises AssertionError."""
        single = bool(
            request.kind and not request.kind.virtual and (request.name or request.method == "POST")
        )
        before = self._read(request) if request.dry and request.name and single else None
        response = self.sent(request)
        code, kind = response.status_code, request.kind
        self.codes[request.method, code] += 1
        if kind is None:
            return
        if code == 404 and request.name:
            self.state.gone(kind, (request.namespace, request.name))
        if code >= 300 or request.method == "HEAD":
            return
        if request.method == "GET":
            self._listed(request, response)
        elif request.dry:
            if before is not None:
                unchanged(before, self._read(request))
            elif code == 201 and not kind.virtual and (answer := whole(response.json())):
                assert self._read(_named(request, answer["metadata"]["name"])) is None, (
                    "a dry run makes nothing"
                )
        elif request.method == "DELETE":
            self._deleted(request)
        elif kind.virtual:
            self.state.created.add(kind.unique_name)
        else:
            self._written(request, response, dice)

    def sent(self, request: Request) -> requests.Response:
        """Its answer, which is one that the API may give. Raises AssertionError."""
        began = time.monotonic()
        response = self.session.request(
            request.method,
            self.url + request.path,
            params=request.query,
            headers=request.headers,
            data=request.body or None,
            timeout=ANSWER_WITHIN,
        )
        said = f"{response.status_code} after {time.monotonic() - began:.1f} s"
        self.history.append(f"{request}\n    -> {said} {response.content[:300]!r}")
        assert response.status_code < 500, f"{said}\n{response.content[:2000]!r}"
        if response.status_code >= 400 and request.method != "HEAD":
            answer = response.json()
            assert (answer["kind"], answer["code"]) == ("Status", response.status_code), said
            assert answer["reason"], said
            assert answer["message"], said
        return response

    def get(self, path: str, **query: str) -> requests.Response:
        return self.sent(Request(method="GET", path=path, query=query))

    def make_one(self, kind: Kind, namespace: str, dice: random.Random) -> None:
        """One that is there for others to be about, and what it needs."""
        if kind.namespaced and namespace not in self.state.open():
            self.make(known_good.NAMESPACE, "", namespace)
        self.make(kind, namespace, self.state.free(dice, kind, namespace))

    def prepare(self, kind: Kind) -> None:
        """So that one can be made: a certificate is for somebody."""
        if kind.unique_name == "ClientCertificate" and not self._there(known_good.USER, known_good.SOMEBODY):
            self.make(known_good.USER, "", known_good.SOMEBODY)

    def make(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether it has been made, of a plain form."""
        request = creation(kind, known_good.plain(kind, kind.api_version, namespace, name), namespace)
        response = self.sent(request)
        if response.status_code == 201 and not kind.virtual:
            self.state.saw(kind, response.json())
        return response.status_code == 201

    def _there(self, kind: Kind, name: str) -> bool:
        return self.get(f"{collection(kind)}/{name}").status_code == 200

    # --- after a write ----------------------------------------------------------------------------------------------

    def _read(self, request: Request) -> Json | None:
        """The object that it is about, as it is now."""
        assert request.kind is not None
        path = f"{collection(request.kind, request.namespace, request.version)}/{request.name}"
        response = self.get(path)
        return response.json() if response.status_code == 200 else None

    def _written(self, request: Request, response: requests.Response, dice: random.Random) -> None:
        kind, answer = request.kind, whole(response.json())
        assert kind is not None
        name = request.name or (answer or {}).get("metadata", {}).get("name", "")
        if not name:
            return  # a name that the server has made, in a form that does not show it
        at = (request.namespace, name)
        before = self.state.get(kind, at) if request.method != "POST" else None
        now = self._read(_named(request, name))
        if response.status_code == 201:
            assert request.method == "POST" or request.part == "", "a status makes no object"
            self.state.created.add(kind.unique_name)
        if now is None:
            self.state.gone(kind, at)
            assert self._may_be_gone(answer, before, request.namespace), (
                f"{at} was answered, and is not there"
            )
            return
        self.state.saw(kind, now)
        if answer is not None:
            follows(answer, now)
            if response.status_code == 201:
                assert answer["metadata"]["generation"] == 1, "a new object is of generation 1"
            elif before is not None:
                changed(before, answer, part=request.part)
        applied = request.headers.get("content-type") == "application/apply-patch+yaml"
        if applied and answer is not None and b"resourceVersion" not in request.body and dice.random() < 0.5:
            again = self.sent(request)
            assert again.status_code == 200, "the same apply again is taken"
            if (twice := whole(again.json())) is not None:
                unchanged(answer, twice, managed=True)

    def _may_be_gone(self, answer: Json | None, before: Json | None, namespace: str) -> bool:
        for obj in (answer, before):
            metadata = (obj or {}).get("metadata", {})
            if metadata.get("deletionTimestamp") or metadata.get("ownerReferences"):
                return True
        if answer is None:
            return True  # it may have been the last finalizer
        return not self._is_open(namespace)

    def _is_open(self, namespace: str) -> bool:
        if not namespace:
            return True
        response = self.get(collection(known_good.NAMESPACE) + f"/{namespace}")
        if response.status_code != 200:
            self.state.gone(known_good.NAMESPACE, ("", namespace))
            return False
        self.state.saw(known_good.NAMESPACE, response.json())
        return not marked(response.json())

    def _deleted(self, request: Request) -> None:
        kind = request.kind
        assert kind is not None
        if not request.name:
            self._refresh(kind, request.namespace)
            return
        at = (request.namespace, request.name)
        now, before = self._read(request), self.state.get(kind, at)
        if now is None:
            self.state.gone(kind, at)
            return
        self.state.saw(kind, now)
        metadata = now["metadata"]
        assert metadata.get("deletionTimestamp"), "what was deleted is gone, or marked"
        kept = metadata.get("finalizers") or now.get("spec", {}).get("finalizers")
        assert kept, "what is marked waits for somebody"
        if before is not None:
            assert before["metadata"]["uid"] == metadata["uid"]

    def _refresh(self, kind: Kind, namespace: str) -> None:
        response = self.get(collection(kind, namespace))
        if response.status_code == 200:
            self.state.listed(kind, namespace, items_of(response.json()))

    def _listed(self, request: Request, response: requests.Response) -> None:
        if request.name or request.query.get("watch") is not None:
            return
        metadata = response.json().get("metadata", {})
        self.state.tokens[request.path] = metadata.get("continue", "")

    # --- between writes ---------------------------------------------------------------------------------------------

    def consistent(self, kind: Kind, dice: random.Random) -> None:
        """Pages are the list; and the list with the changes since then is the list of later. Raises AssertionError."""
        namespace = dice.choice(("", *self.state.open())) if kind.namespaced else ""
        selector = dice.choice(({}, {}, {"labelSelector": "app=reviews"}, {"labelSelector": "!tier"}))
        path = collection(kind, namespace)
        first = self.get(path, **selector).json()
        revision, pages = "", []
        query = selector | {"limit": str(dice.randint(1, 5))}
        while True:
            page = self.get(path, **query)
            if page.status_code == 410:
                return
            body = page.json()
            assert not revision or body["metadata"]["resourceVersion"] == revision, (
                "pages are of one revision"
            )
            revision = body["metadata"]["resourceVersion"]
            pages += body["items"]
            if not body["metadata"].get("continue"):
                break
            query["continue"] = body["metadata"]["continue"]
        later = self.get(path, resourceVersion=revision, resourceVersionMatch="Exact", **selector)
        if later.status_code == 410:
            return
        items = later.json()["items"]
        assert pages == items, "the pages of a list are the list"
        if kind.virtual:
            return
        if selector == {}:
            self.state.listed(kind, namespace, items_of(later.json()))
        since = first["metadata"]["resourceVersion"]
        if dice.random() < 0.5 and self.state.revisions:
            since = dice.choice(self.state.revisions)
            earlier = self.get(path, resourceVersion=since, resourceVersionMatch="Exact", **selector)
            if earlier.status_code == 410:
                return
            first = earlier.json()
        wanted = {_at(obj): _version(obj) for obj in items}
        if int(first["metadata"]["resourceVersion"]) <= int(revision):
            followed = self._comes_to(path, selector, first, wanted, int(revision))
            assert followed, "a list and the changes since are the list"

    def _comes_to(
        self, path: str, selector: dict[str, str], first: Json, wanted: dict[Name, str], until: int
    ) -> bool:
        """Whether the list and a watch from it come to what is wanted (name -> revision); also where it is too old."""
        found = {_at(obj): _version(obj) for obj in first["items"]}
        reached = int(first["metadata"]["resourceVersion"])
        if found == wanted:
            return True
        query = selector | {"watch": "1", "resourceVersion": str(reached), "timeoutSeconds": "20"}
        self.history.append(f"watch {path} {query}")
        with self.session.get(self.url + path, params=query, timeout=ANSWER_WITHIN, stream=True) as response:
            if response.status_code == 410:
                return True
            for line in response.iter_lines(chunk_size=None):
                event = json.loads(line)
                obj = event["object"]
                if event["type"] == "ERROR":
                    assert obj["code"] == 410, event
                    return True
                assert int(_version(obj)) > reached, "changes come in their order"
                reached = int(_version(obj))
                if reached > until:
                    break
                if event["type"] == "DELETED":
                    assert found.pop(_at(obj), ""), f"{_at(obj)} goes, and had not come"
                else:
                    assert (event["type"] == "ADDED") == (_at(obj) not in found), (
                        f"{event['type']} {_at(obj)}"
                    )
                    found[_at(obj)] = _version(obj)
                if found == wanted:
                    return True
        return False


def whole(body: Any) -> Json | None:
    """The object of an answer; None where it has another form."""
    named = isinstance(body, dict) and body.get("metadata", {}).get("uid")
    return body if named and body.get("kind") != "PartialObjectMetadata" else None


def intent(obj: Json) -> Json:
    """What generations count."""
    return {k: v for k, v in obj.items() if k not in ("metadata", "status", "apiVersion")}


def marked(obj: Json) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def follows(answer: Json, now: Json) -> None:
    """What was answered, and what was read after it."""
    old, new = answer["metadata"], now["metadata"]
    assert old["uid"] == new["uid"], "it is the object that was answered"
    assert old["creationTimestamp"] == new["creationTimestamp"]
    assert int(old["resourceVersion"]) <= int(new["resourceVersion"]), "revisions grow"
    if old["resourceVersion"] == new["resourceVersion"]:
        assert answer == now, "one revision is one object"
    elif marked(answer) == marked(now):
        assert intent(answer) == intent(now), "what was answered is what stands there"
        assert old["generation"] == new["generation"]


def changed(before: Json, answer: Json, *, part: str) -> None:
    """What a change has made of what was there."""
    old, new = before["metadata"], answer["metadata"]
    assert old["uid"] == new["uid"], "a change makes no other object"
    assert old["creationTimestamp"] == new["creationTimestamp"]
    assert int(old["resourceVersion"]) <= int(new["resourceVersion"]), "revisions grow"
    if marked(before) != marked(answer):
        return  # somebody has begun to delete it meanwhile
    differs = intent(before) != intent(answer)
    assert not (part and differs), "a status changes nothing else"
    assert new["generation"] == old["generation"] + differs, "generations count the changes of what is wanted"


def unchanged(before: Json, now: Json | None, *, managed: bool = False) -> None:
    """Nothing has happened, but for what the server does by itself."""
    if now is None or marked(before) != marked(now):
        meta = before["metadata"]
        assert marked(before) or meta.get("ownerReferences") or meta.get("namespace"), (
            "a dry run changes nothing"
        )
        return
    assert intent(before) == intent(now), "it is as it was"
    old, new = before["metadata"], now["metadata"]
    parts = ("uid", "generation", "labels", "annotations")
    for part in (*parts, "managedFields") if managed else parts:
        assert old.get(part) == new.get(part), f"metadata.{part} is as it was"
    for part in (
        "finalizers",
        "ownerReferences",
    ):  # the collector takes its own off, and owners that are gone
        left = [each for each in old.get(part, []) if each not in new.get(part, [])]
        assert new.get(part, []) == [each for each in old.get(part, []) if each not in left], part
        assert part != "finalizers" or {*left} <= {"orphan", "foregroundDeletion"}, part


def _named(request: Request, name: str) -> Request:
    return Request(
        method="GET",
        path="",
        kind=request.kind,
        version=request.version,
        namespace=request.namespace,
        name=name,
    )


def items_of(listing: Json) -> list[Json]:
    """Items of a list, which say what they are."""
    said = {"apiVersion": listing["apiVersion"], "kind": listing["kind"].removesuffix("List")}
    return [said | obj for obj in listing["items"]]


def _at(obj: Json) -> Name:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _version(obj: Json) -> str:
    return str(obj["metadata"]["resourceVersion"])
