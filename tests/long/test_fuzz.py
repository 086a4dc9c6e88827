"""Whatever is written, the door answers. What becomes of what it takes: test_fuzz_envoy.py.

The short form draws the same examples each time; the full one draws new ones. Random tests of the machines of `xds`,
`model` and `registry` lie beside their quick forms.
"""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.resources.kinds import KINDS
from argosy.resources.loading import LoadError, load_documents
from tests.long.conftest import FULL, count
from tests.unit.apiserver import test_any_request as api
from tests.unit.resources import test_validation as door
from tests.unit.resources.rich import RICH

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def many(*, full: int, short: int) -> settings:
    return settings(
        max_examples=count(full=full, short=short),
        derandomize=not FULL,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


# --- the door -------------------------------------------------------------------------------------------------------


@many(full=5_000, short=150)
@given(api.METHODS, api.PATHS, api.PARAMETERS, api.TYPES, api.BODIES)
async def test_any_request_gets_an_answer(
    method: str, path: list[str], parameters: dict[str, str], kind: str, body: bytes
) -> None:
    await api.any_request(method, path, parameters, kind, body)


@many(full=5_000, short=150)
@given(st.sampled_from(["POST", "PUT", "PATCH", "STATUS"]), api.damaged())
async def test_any_object_is_taken_or_refused(method: str, obj: Any) -> None:
    await api.any_object(method, obj)


@many(full=20_000, short=1000)
@given(st.data())
def test_rich_objects_with_parts_replaced_are_judged(data: st.DataObject) -> None:
    obj = copy.deepcopy(data.draw(st.sampled_from(RICH)))
    for _ in range(data.draw(st.integers(1, 3))):
        parent, key = data.draw(st.sampled_from(list(door.parts(obj))))
        parent[key] = data.draw(door.JSON | door.LIKELY)
    door.judged(obj)


@many(full=20_000, short=300)
@given(st.sampled_from(KINDS), door.JSON, door.JSON)
def test_any_content_of_any_kind_is_judged(kind: Any, metadata: Any, spec: Any) -> None:
    door.judged({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec})


@many(full=30_000, short=500)
@given(st.text(alphabet="ab:-&*<[]{}?!|>'\"#%\n ,1.~", max_size=200) | st.text(max_size=60))
def test_any_text_is_objects_or_a_load_error(text: str) -> None:
    with contextlib.suppress(LoadError):
        for document in load_documents(text, "f"):
            json.dumps(document.object, allow_nan=False)
