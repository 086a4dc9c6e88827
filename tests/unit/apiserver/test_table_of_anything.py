"""Whatever stands in the store, and whatever form a client asks for: there is an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.apiserver.encoding import ListMeta
from argosy.apiserver.representation import choose
from argosy.apiserver.status import Refusal
from argosy.resources.builtin_columns import COMPUTED
from argosy.resources.columns import layout
from argosy.resources.kinds import KINDS, Kind
from argosy.store.base import Key, Stored
from tests.unit.apiserver.test_any_request import JSON, call, check

ANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
FIELDS = st.sampled_from(
    ["metadata", "spec", "status", "data", "subsets", "endpoints", "ports", "roleRef", "subjects", "series",
     "involvedObject", "source", "addressType", "type", "count"]
)  # fmt: skip
INNER = st.dictionaries(
    st.sampled_from(
        ["name", "creationTimestamp", "ports", "selector", "clusterIP", "externalIPs", "type", "conditions", "phase",
         "loadBalancer", "ingress", "hosts", "addresses", "kind", "count", "host"]
    ),
    JSON,
    max_size=4,
)  # fmt: skip
OBJECTS = st.dictionaries(FIELDS, st.one_of(JSON, INNER, st.lists(INNER, max_size=3)), max_size=6)
ACCEPTS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    st.lists(
        st.sampled_from(
            [
                "application/json",
                "*/*",
                "text/html",
                ";as=Table",
                ";g=meta.k8s.io",
                ";v=v1",
                ";q=0.5",
                ";q=x",
                ",",
                " ",
            ]
        ),
        max_size=12,
    ).map("".join),
)


@ANY
@given(st.sampled_from(KINDS), st.lists(OBJECTS, max_size=3), st.sampled_from(["", "Object", "None"]))
def test_any_object_has_a_row(kind: Kind, objects: list[Any], include: str) -> None:
    items = [
        Stored(Key(kind.resource, "shop", f"o{i}"), i + 1, msgspec.json.encode(obj))
        for i, obj in enumerate(objects)
    ]
    form = choose(TABLE, include, kind, kind.api_version, lambda: datetime.now(UTC))
    table = msgspec.json.decode(form.many(items, ListMeta(7)))
    assert len(table["rows"]) == len(items)
    for row in table["rows"]:
        assert len(row["cells"]) == len(layout(kind).columns)
        if include == "":
            assert row["object"]["metadata"]["resourceVersion"]


@ANY
@given(ACCEPTS)
def test_any_accept_header_is_a_form_or_a_refusal(accept: str) -> None:
    code = 200
    try:
        choose(accept, "", KINDS[0], "v1", lambda: datetime.now(UTC))
    except Refusal as refusal:
        code = refusal.code
    assert code in (200, 400, 406)


@ANY
@given(st.sampled_from(sorted(COMPUTED)), OBJECTS)
def test_any_object_has_the_cells_that_are_computed(resource: str, obj: dict[str, Any]) -> None:
    for column, compute in COMPUTED[resource]:
        cell = compute(obj, datetime.now(UTC))
        assert cell is None or isinstance(cell, (str, int, float)), column.name


@pytest.mark.parametrize("path", ["/apis", "/openapi/v2", "/openapi/v3", "/api/v1/namespaces"])
async def test_a_long_accept_header_is_refused(path: str) -> None:
    answer: httpx.Response = await call("GET", path, headers={"Accept": "a/b," * 2000})
    check(answer)
    assert answer.status_code == 400
