"""Fields that a kind does not have: each is told, and the object without them is what the kind can hold."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.resources import schema
from argosy.resources.kinds import KINDS
from tests.unit.resources.rich import RICH

Json = dict[str, Any]
PEER = next(kind for kind in KINDS if kind.kind == "PeerAuthentication")
NAMES = (
    st.sampled_from(["", "x", "0", "00", "80", "-1", "a/b", "a~1b", "Ì\x02㰤\x0e\U000a71183", "\x00"])
    | st.text()
)


def peer(**parts: Any) -> Json:
    head = {"apiVersion": PEER.api_version, "kind": "PeerAuthentication", "metadata": {"name": "a"}}
    return head | parts


@pytest.mark.parametrize("key", ["80", "080", "", "x", "0", "a/b~c"])
def test_in_the_entries_of_a_map_they_are_found_and_taken_out(key: str) -> None:
    """Whatever the key: the library's paths have numbers for keys of digits, and pass over empty ones."""
    entries = {key: {"mode": "STRICT", "mood": {}}, "81": {"mode": "DISABLE"}, f"{key}0": {"mood": 1}}
    left, unknown = schema.without_unknown(PEER, peer(spec={"portLevelMtls": entries}))
    known = {key: {"mode": "STRICT"}, "81": {"mode": "DISABLE"}, f"{key}0": {}}
    assert left == peer(spec={"portLevelMtls": known})
    assert [problem.field for problem in unknown] == [
        schema.join(["spec", "portLevelMtls", each, "mood"]) for each in (key, f"{key}0")
    ]
    assert {problem.message for problem in unknown} == {"is not a field; the fields here are mode"}


def test_of_very_many_some_are_told_and_all_taken_out() -> None:
    many = {str(number): {"mode": "STRICT", "mood": 1} for number in range(schema.MANY)}
    left, unknown = schema.without_unknown(PEER, peer(spec={"portLevelMtls": many}))
    assert set(map(tuple, left["spec"]["portLevelMtls"].values())) == {("mode",)}
    assert len(unknown) == schema.MOST_TOLD


def test_what_machines_write_and_what_was_once_a_field_stay() -> None:
    obj = peer(spec={"no": 1, "mtls": {"mode": "STRICT"}}, status={"new": {"er": 1}}, other=[1])
    left, unknown = schema.without_unknown(PEER, obj)
    assert left == peer(spec={"mtls": {"mode": "STRICT"}}, status={"new": {"er": 1}})
    assert sorted(problem.field for problem in unknown) == ["other", "spec.no"]
    route = next(kind for kind in KINDS if kind.kind == "VirtualService")
    kept = {"hosts": ["a"], "http": [{"websocketUpgrade": True, "route": [{"destination": {"host": "a"}}]}]}
    obj = {"apiVersion": route.api_version, "kind": "VirtualService", "metadata": {"name": "a"}, "spec": kept}
    assert schema.without_unknown(route, obj | {"no": 1})[0] == obj


def places(value: Any) -> list[Json]:
    if isinstance(value, dict):
        return [value, *(place for each in value.values() for place in places(each))]
    return [place for each in value for place in places(each)] if isinstance(value, list) else []


@given(st.data(), st.integers(0, 1 << 30))
def test_whatever_is_put_anywhere_nothing_unknown_is_left(data: st.DataObject, seed: int) -> None:
    chance = random.Random(seed)
    obj = copy.deepcopy(
        data.draw(st.sampled_from([*RICH, peer(spec={"portLevelMtls": {"80": {}, "a": {}}})]))
    )
    kind = next(each for each in KINDS if each.kind == obj["kind"])
    for name in data.draw(st.lists(NAMES, min_size=1, max_size=4)):
        chance.choice(places(obj))[name] = data.draw(st.sampled_from([1, "x", None, {name: {name: 1}}, [{}]]))
    left, unknown = schema.without_unknown(kind, obj)
    assert schema.check(kind, left).unknown == ()
    assert (left == obj) is (not unknown)
    again, none = schema.without_unknown(kind, left)
    assert (again, none) == (left, ())
