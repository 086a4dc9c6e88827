"""What is offered at TAB, without a server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from argosy.cli import completing, connect


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("virt", ["virtualservices", "virtualservice"]),
        ("vs", ["vs"]),
        ("vs,peer", ["vs,peerauthentications", "vs,peerauthentication"]),
        ("nosuch", []),
    ],
)
def test_kinds(begun: str, offered: list[str]) -> None:
    assert completing.kinds(begun) == offered


def test_a_kind_is_offered_once_where_nothing_is_begun_and_never_one_that_is_not_stored() -> None:
    offered = completing.kinds("")
    assert len(offered) == len(set(offered))
    assert "virtualservices" in offered
    assert "vs" not in offered
    assert "selfsubjectaccessreviews" not in offered


def test_one_of_several_that_may_go_on() -> None:
    assert completing.among("json", "jsonpath=…", "yaml")("json") == ["json", "jsonpath="]


def typed(*words: str, **params: Any) -> Any:
    found = SimpleNamespace(params={"what": list(words), **params})
    found.find_root = lambda: SimpleNamespace(params={})
    return found


def test_after_a_kind_with_a_slash_comes_another_kind() -> None:
    assert completing.objects(typed("vs/a"), "destinationr") == ["destinationrules/", "destinationrule/"]


def test_whatever_fails_nothing_is_offered(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(connect, "api", fail)
    assert completing.objects(typed("vs"), "") == []
    assert completing.objects(typed("nosuch"), "") == []
    assert completing.namespaces(typed(), "") == []
    assert capfd.readouterr() == ("", "")


def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[bool] = []

    def slow(*_: object, **__: object) -> None:
        try:
            time.sleep(60)
        finally:
            waited.append(True)

    monkeypatch.setattr(completing, "BOUND_SECONDS", 0.05)
    monkeypatch.setattr(connect, "api", slow)
    assert completing.objects(typed("vs"), "") == []
    assert waited == [True]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_without_a_server_the_shell_sees_nothing_wrong(tmp_path: Path, shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "argosy.cli.main"],
        env=os.environ
        | {
            "_ARGOSY_COMPLETE": f"complete_{shell}",
            "ARGOSY_STATE_DIR": str(tmp_path),
            "COMP_WORDS": "argosy get vs ",
            "COMP_CWORD": "3",
            "_TYPER_COMPLETE_ARGS": "argosy get vs ",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.strip() in ("", "_files")
