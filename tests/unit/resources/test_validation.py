"""The door itself: what it takes, in what order it judges, and that it never raises."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.resources import schema
from argosy.resources.kinds import KINDS, decode
from argosy.resources.problem import Problem
from argosy.resources.validation import Verdict, validate
from tests.unit.resources.rich import RICH

Judge = Callable[..., Verdict]


@pytest.mark.parametrize("obj", RICH, ids=lambda obj: str(obj["kind"]))
def test_rich_objects_are_valid_and_readable(obj: dict[str, Any]) -> None:
    verdict = validate(obj)
    assert verdict.errors == ()
    assert verdict.valid
    assert verdict.kind is not None
    assert type(decode(obj)) is verdict.kind.struct


@pytest.mark.parametrize(
    ("obj", "field", "says"),
    [
        (None, "", "is not an object"),
        ([], "", "is not an object"),
        ("text", "", "is not an object"),
        ({}, "apiVersion", "is missing"),
        ({"apiVersion": 1, "kind": "Service"}, "apiVersion", "is missing"),
        ({"apiVersion": "v1"}, "kind", "is missing"),
        ({"apiVersion": "v1", "kind": "Podd"}, "kind", "the kinds are Namespace, Service"),
        ({"apiVersion": "v1", "kind": "Pod"}, "kind", "Argosy holds the mesh's configuration"),
        ({"apiVersion": "v2", "kind": "Service"}, "apiVersion", "use v1"),
        (
            {"apiVersion": "networking.istio.io/v2", "kind": "Gateway"},
            "apiVersion",
            "use networking.istio.io/v1 or networking.istio.io/v1beta1",
        ),
        ({"a": {1: 2}}, "", "key 1 is not text"),
        ({"a": object()}, "", "JSON does not have"),
        ({"a": float("nan")}, "", "JSON does not have"),
        ({"a": 2**64}, "", "64 bits"),
        ({"a": "\ud800"}, "", "surrogate"),
    ],
)
def test_what_is_no_object_of_ours_is_refused(obj: Any, field: str, says: str) -> None:
    verdict = validate(obj)
    assert verdict.kind is None
    assert [problem.field for problem in verdict.errors] == [field]
    assert says in verdict.errors[0].message


def test_nesting_is_bounded() -> None:
    obj: Any = {}
    for _ in range(100_000):
        obj = {"a": obj}
    assert "nested more than 64" in validate(obj).errors[0].message


def test_unknown_fields_are_errors_when_strict_and_warnings_otherwise(judge: Judge) -> None:
    obj = copy.deepcopy(RICH[0])
    obj["spec"]["http"][0]["timeOut"] = "1s"
    problem = Problem("spec.http[0].timeOut", "is not a field; did you mean timeout?")
    assert validate(obj).errors == (problem,)
    lenient = validate(obj, strict=False)
    assert lenient.valid
    assert problem in lenient.warnings


def test_unknown_fields_do_not_hide_what_else_is_wrong(judge: Judge) -> None:
    errors = judge("WorkloadEntry", {"address": "", "adress": "1.1.1.1"}).errors
    assert [problem.field for problem in errors] == ["spec.adress", "spec.address"]


def test_unknown_fields_of_a_status_are_tolerated() -> None:
    obj = RICH[1] | {"status": {"writtenByANewerVersion": 1}}
    verdict = validate(obj)
    assert verdict.valid
    assert [problem.field for problem in verdict.warnings] == ["status.writtenByANewerVersion"]


def test_null_is_a_field_that_is_not_set() -> None:
    obj = copy.deepcopy(RICH[3])
    obj["metadata"]["creationTimestamp"] = None
    obj["spec"]["exportTo"] = None
    obj["status"] = None
    assert validate(obj).valid


def test_every_served_version_is_judged_alike() -> None:
    for kind in KINDS:
        verdicts = {
            validate(
                {"apiVersion": api_version, "kind": kind.kind, "metadata": {"name": "a"}, "spec": {"x": 1}}
            ).errors
            for api_version in kind.api_versions
        }
        assert len(verdicts) == 1


@pytest.mark.parametrize(
    ("metadata", "field", "says"),
    [
        ({"name": ""}, "metadata.name", "is missing"),
        ({"name": "A"}, "metadata.name", "lower-case"),
        ({"name": "a" * 254}, "metadata.name", "at most 253"),
        ({"name": "a_b"}, "metadata.name", "not a name"),
        ({"name": 5}, "metadata.name", "5 is not text"),
        ({"namespace": "a.b"}, "metadata.namespace", "not a namespace"),
        ({"labels": {"a b": ""}}, "metadata.labels", "label key"),
        ({"labels": {"a": 1}}, "metadata.labels.a", "1 is not text"),
        ({"labels": {"a/": "b"}}, "metadata.labels", "label key"),
        ({"labels": {"a": "x" * 64}}, "metadata.labels", "label value"),
        ({"annotations": {"a b": ""}}, "metadata.annotations", "label key"),
        ({"annotations": {"a": "x" * 300_000}}, "metadata.annotations", "262144"),
        ({"annotations": {"istio.io/dry-run": "true"}}, "metadata.annotations", "AuthorizationPolicy alone"),
        ({"lables": {}}, "metadata.lables", "is not a field"),
    ],
)
def test_metadata(judge: Judge, metadata: dict[str, Any], field: str, says: str) -> None:
    errors = judge("PeerAuthentication", {}, **metadata).errors
    assert [problem.field for problem in errors] == [field]
    assert says in errors[0].message


@pytest.mark.parametrize(
    ("kind", "spec", "metadata", "field"),
    [
        ("Namespace", {}, {"namespace": "a"}, "metadata.namespace"),
        ("Namespace", {}, {"name": "a.b"}, "metadata.name"),
        ("Service", {}, {"name": "a.b"}, "metadata.name"),
    ],
)
def test_names_fit_their_kind(
    judge: Judge, kind: str, spec: dict[str, Any], metadata: dict[str, Any], field: str
) -> None:
    assert [problem.field for problem in judge(kind, spec, **metadata).errors] == [field]


def test_a_name_may_be_left_to_the_api(judge: Judge) -> None:
    assert judge("PeerAuthentication", {}, name="", generateName="a-").valid


def test_a_problem_reads_as_a_sentence() -> None:
    assert str(Problem("spec.host", "is missing")) == "spec.host: is missing"
    assert str(Problem("", "is not an object")) == "is not an object"


# --- never raises ---------------------------------------------------------------------------------------------------

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
LIKELY = st.sampled_from(
    [
        "",
        "*",
        "a",
        "a/b",
        "1s",
        "-1s",
        "unix://",
        "0",
        "%",
        "(",
        "1.2.3.4/",
        "~",
        ".",
        "*.",
        "STATIC",
        "DNS",
        "NONE",
        "SIMPLE",
    ]
)


def judged(obj: Any) -> None:
    for strict in (True, False):
        verdict = validate(obj, strict=strict)
        for problem in (*verdict.errors, *verdict.warnings):
            assert problem.message
        if verdict.valid:
            decode(obj)
            decode(json.dumps(obj).encode())


@given(JSON)
def test_any_json_value_is_judged(value: Any) -> None:
    judged(value)


@given(st.sampled_from(KINDS), JSON, JSON, JSON)
def test_any_content_of_any_kind_is_judged(kind: Any, metadata: Any, spec: Any, rest: Any) -> None:
    obj = {"metadata": metadata, "spec": spec} | (rest if isinstance(rest, dict) else {})
    judged(obj | {"apiVersion": kind.api_version, "kind": kind.kind})


@settings(max_examples=600, deadline=None)  # the first value of Envoy's imports its messages
@given(st.data())
def test_rich_objects_with_one_part_replaced_are_judged(data: st.DataObject) -> None:
    obj = copy.deepcopy(data.draw(st.sampled_from(RICH)))
    parent, key = data.draw(st.sampled_from(list(parts(obj))))
    parent[key] = data.draw(JSON | LIKELY)
    judged(obj)


def parts(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from parts(value[key])


def test_an_object_is_copied_only_where_it_has_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[Any] = []
    copy = schema.without_nulls

    def note(value: Any, *rest: Any) -> Any:
        copied.append(value)
        return copy(value, *rest)

    monkeypatch.setattr(schema, "without_nulls", note)
    obj: dict[str, Any] = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "a", "namespace": "shop", "labels": {"a": "b"}},
        "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}, "weight": 1}]}]},
    }
    assert validate(obj).valid
    assert copied == []
    obj["spec"]["http"][0]["route"][0]["destination"]["subset"] = None
    assert validate(obj).valid
    assert copied[0] is obj
    obj["metadata"]["labels"]["c"] = None  # an entry of a map: that is wrong
    assert not validate(obj).valid
    within = obj | {"spec": {"hosts": ("a",), "http": obj["spec"]["http"]}}
    assert [str(each) for each in validate(within).errors] == [str(each) for each in validate(obj).errors]
