"""What `argosy wait --for=…` waits for."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.cli.wait import goal_of
from argosy.runtime.errors import Failure

Json = dict[str, Any]


def obj(status: str = "True", *, observed: int | None = 2, generation: int = 2) -> Json:
    condition = {"type": "Programmed", "status": status, "reason": "Rejected", "message": "port 80: no"}
    if observed is not None:
        condition["observedGeneration"] = observed  # type: ignore[assignment]
    return {
        "metadata": {"name": "a", "generation": generation},
        "spec": {"hosts": ["a", "b"], "weight": 3, "on": False},
        "status": {"conditions": [condition]},
    }


@pytest.mark.parametrize(
    ("goal", "found", "met"),
    [
        ("create", obj(), True),
        ("create", None, False),
        ("delete", obj(), False),
        ("delete", None, True),
        ("condition=Programmed", obj(), True),
        ("condition=programmed=true", obj(), True),
        ("condition=Programmed", obj("False"), False),
        ("condition=Programmed=False", obj("False"), True),
        ("condition=Programmed", obj(observed=1), False),
        ("condition=Programmed", obj(observed=None), True),
        ("condition=Accepted", obj(), False),
        ("condition=Programmed", {"metadata": {}}, False),
        ("condition=Programmed", None, False),
        ("jsonpath={.spec.hosts[0]}=a", obj(), True),
        ("jsonpath={.spec.hosts[*]}=b", obj(), True),
        ("jsonpath={.spec.hosts[0]}=b", obj(), False),
        ("jsonpath=.spec.weight=3", obj(), True),
        ("jsonpath={.spec.on}=false", obj(), True),
        ("jsonpath={.spec.on}", obj(), True),
        ("jsonpath={.spec.nothing}", obj(), False),
        ('jsonpath={.status.conditions[?(@.type=="Programmed")].status}=True', obj(), True),
        ("jsonpath={.spec.hosts[0]}=a", None, False),
    ],
)
def test_goals(goal: str, found: Json | None, met: bool) -> None:
    assert goal_of(goal).met(found) is met


@pytest.mark.parametrize(
    ("goal", "found", "lacks"),
    [
        ("condition=Programmed", obj("False"), "Rejected: port 80: no"),
        ("condition=Programmed", obj(observed=1), "not looked at yet"),
        ("condition=Accepted", obj(), "it has no condition Accepted"),
        ("condition=Accepted", None, "it is not there"),
        ("jsonpath={.spec.hosts[0]}=b", obj(), "it is a"),
        ("jsonpath={.spec.nothing}", obj(), "leads nowhere"),
        ("delete", obj(), "still there"),
        ("create", None, "it is not there"),
    ],
)
def test_what_is_lacking(goal: str, found: Json | None, lacks: str) -> None:
    assert lacks in goal_of(goal).lacks(found)


@pytest.mark.parametrize(
    "goal", ["", "soon", "condition", "condition=", "jsonpath=", "jsonpath={..a}", "delete=1"]
)
def test_what_is_no_goal(goal: str) -> None:
    with pytest.raises(Failure, match="--for=") as failed:
        goal_of(goal)
    assert failed.value.code == 2
