"""Headers that a route changes: which may be changed, and to what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict

Judge = Callable[..., Verdict]
Json = dict[str, Any]
AT = "spec.http[0].headers"


def changing(**headers: Json) -> Json:
    return {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}], "headers": headers}]}


def adding(value: str) -> Json:
    return changing(request={"add": {"x": value}})


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "50%%",
        "%HOSTNAME%",
        "from %DOWNSTREAM_REMOTE_ADDRESS% to %UPSTREAM_HOST%",
        "%REQ(:path):10%",
        "%REQ(x?y)%",
        "%PER_REQUEST_STATE(a.b)%",
        '%UPSTREAM_METADATA(["a", "b"])%',
        '%UPSTREAM_METADATA( [ "a" ,"b\\"c" ] ) %',
        "%DYNAMIC_METADATA(a:b)%",
        "tab\tand é",
    ],
)
def test_values_are_texts_with_variables(judge: Judge, value: str) -> None:
    verdict = judge("VirtualService", adding(value))
    assert verdict.errors == verdict.warnings == ()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("50%", "'%%'"),
        ("%", "'%%'"),
        ("%START_TIME%%", "'%%'"),
        ("%A(b%", "'%%'"),
        ("%A(b)c%", "'%%'"),
        ('%A(["b" "c"])%', "'%%'"),
        ('%A(["b"%', "'%%'"),
        ("%A([b])%", "'%%'"),
        ('%A(["b"]c)%', "'%%'"),
        ("a %NOBODY% b", "'%NOBODY%' is no variable of Envoy's"),
        ("%REQ%", "%REQ% needs a parameter"),
        ("%PROTOCOL(a)%", "%PROTOCOL% takes no parameter"),
        ("a\nb", "control"),
        ("a\0b", "control"),
    ],
)
def test_other_values_are_refused(judge: Judge, value: str, says: str) -> None:
    (problem,) = judge("VirtualService", adding(value)).errors
    assert problem.field == f"{AT}.request.add['x']"
    assert says in problem.message


@pytest.mark.parametrize(
    ("headers", "field", "says"),
    [
        ({"request": {"set": {":path": "b"}}}, "request.set[':path']", "pseudo-header"),
        ({"request": {"set": {"": "b"}}}, "request.set['']", "is empty"),
        ({"request": {"set": {"a b": "b"}}}, "request.set['a b']", "is not a header name"),
        ({"request": {"remove": ["Host"]}}, "request.remove[0]", "'Host'"),
        ({"request": {"remove": [":authority"]}}, "request.remove[0]", "pseudo-header"),
        ({"response": {"set": {"host": "b"}}}, "response.set['host']", "cannot be changed here"),
        ({"response": {"add": {":status": "b"}}}, "response.add[':status']", "pseudo-header"),
    ],
)
def test_names_that_cannot_be_changed_are_refused(judge: Judge, headers: Json, field: str, says: str) -> None:
    (problem,) = judge("VirtualService", changing(**headers)).errors
    assert problem.field == f"{AT}.{field}"
    assert says in problem.message


def test_headers_of_one_destination_are_judged_alike(judge: Judge) -> None:
    destination = {"destination": {"host": "a"}, "headers": {"request": {"add": {"x": "%"}}}}
    (problem,) = judge("VirtualService", {"hosts": ["a"], "http": [{"route": [destination]}]}).errors
    assert problem.field == "spec.http[0].route[0].headers.request.add['x']"
