"""Requests that schemathesis makes from our OpenAPI v3 documents, sent to a running server, with what must hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st

Case = Any
"""A schemathesis.Case."""

ANSWER_WITHIN = 60.0
"""Seconds for one request, whatever else runs on this machine: a bound for a hang, not a measure."""
NAMESPACES = ("default", "shop", "absent")
NAMES = ("there", "absent", "default")
QUERIES = {
    False: (
        {},
        {"fieldValidation": "Ignore"},
        {"fieldValidation": "Warn"},
        {"dryRun": "All"},
        {"force": "true"},
    ),
    True: (
        {},
        {"limit": "1"},
        {"watch": "true"},
        {"labelSelector": "a=b"},
        {"dryRun": "All"},
        {"resourceVersion": "1"},
    ),
}
"""Whether it reads or deletes -> queries that are good."""
MEDIA = (
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
)


def operations(url: str, session: requests.Session) -> Iterator[tuple[str, Any]]:
    """(label, operation) of every document, in their order."""
    index = session.get(f"{url}/openapi/v3", timeout=ANSWER_WITHIN).json()
    for name in sorted(index["paths"]):
        document = session.get(f"{url}/openapi/v3/{name}", timeout=ANSWER_WITHIN).json()
        schema = schemathesis.openapi.from_dict(document)
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]  # raises where our document is wrong
            yield f"{operation.method.upper()} {operation.path}", operation


def strategy(operation: Any) -> st.SearchStrategy[Case]:
    found: st.SearchStrategy[Case] = operation.as_strategy()
    return found


def aimed(case: Case, data: st.DataObject) -> Case:
    """At what is there, most of the time: an object of the right kind in a namespace that is open."""
    for field, known in (("namespace", NAMESPACES), ("name", NAMES)):
        if field in (case.path_parameters or {}) and data.draw(st.integers(0, 4)):
            case.path_parameters[field] = data.draw(st.sampled_from(known))
    query = dict(case.query or {})
    if data.draw(st.integers(0, 4)):  # what is drawn for all parameters at once is nearly never taken
        query = dict(data.draw(st.sampled_from(QUERIES[case.method.upper() in ("GET", "DELETE")])))
    if case.method.upper() == "PATCH":
        query.setdefault("fieldManager", "fuzz")
    if query.get("watch") is not None:
        query["timeoutSeconds"] = "1"  # a watch that lasts is no hang
    case.query = query
    kind = (case.operation.definition.raw or {}).get("x-kubernetes-group-version-kind")
    if isinstance(case.body, dict) and kind and data.draw(st.integers(0, 4)):
        group, version = kind["group"], kind["version"]
        given = case.body.get("metadata")
        kept = dict(given) if isinstance(given, dict) and not data.draw(st.integers(0, 3)) else {}
        for field in ("namespace", "resourceVersion", "uid"):
            kept.pop(field, None)
        case.body = case.body | {
            "apiVersion": f"{group}/{version}" if group else version,
            "kind": kind["kind"],
            "metadata": kept
            | {"name": (case.path_parameters or {}).get("name") or data.draw(st.sampled_from(NAMES))},
        }
    case.headers["accept"] = data.draw(st.sampled_from(MEDIA))
    return case


def answered(case: Case, url: str, session: requests.Session) -> int:
    """The code of the answer; a failure where it is none that the API may give."""
    began = time.monotonic()
    response = case.call(base_url=url, session=session, timeout=ANSWER_WITHIN, verify=session.verify)
    took = time.monotonic() - began
    said = f"{case.method} {case.formatted_path} {case.query}: {response.status_code} after {took:.1f} s"
    assert response.status_code < 500, f"{said}\n{response.content[:2000]!r}\n{case.body!r}"
    if response.status_code >= 400 and case.method.upper() != "HEAD":
        answer = response.json()
        assert (answer["kind"], answer["code"]) == ("Status", response.status_code), said
        assert answer["reason"], said
    return int(response.status_code)
