"""The program of docs/caller.md in a real mesh: it greets who called, and nobody else."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.e2e.caller_lab import FORGED, LIE
from tests.e2e.mesh import Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PAGE = Path(__file__).parents[2] / "docs" / "caller.md"


def test_the_program_of_the_page_greets_its_caller(mesh: Mesh, tmp_path: Path) -> None:
    program = re.search(r"```python\n(import os\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert program is not None
    file = tmp_path / "hello.py"
    file.write_text(program[1])
    mesh.run("run", "--service=hello", "--port=9080:auto", "--", sys.executable, str(file), name="hello")
    client = mesh.client("me")
    mesh.announced("hello")
    url = "http://hello:9080/"
    until(lambda: client.request(url).status == 200, "it answers")
    answer = client.request(url, headers={name: value for name, value in FORGED if "!" not in name})
    assert answer.body == b"hello, spiffe://cluster.local/ns/default/sa/me\n"
    assert LIE.encode() not in answer.body
