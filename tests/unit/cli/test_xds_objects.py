"""What `argosy xds dump` takes of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.cli.xds import objects
from argosy.resources.networking import VirtualService
from argosy.runtime.errors import Failure

WRITTEN = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec: {hosts: [a.example], tcp: [{name: route1, route: [{destination: {host: HOST}}]}]}
"""


def test_fields_that_a_kind_does_not_have_are_told_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "v.yaml"
    file.write_text(WRITTEN.replace("HOST", "b.example"))
    (found,) = objects([str(file)])
    assert isinstance(found, VirtualService)
    assert found.spec.tcp[0].route[0].destination.host == "b.example"
    said = capsys.readouterr().err
    assert "spec.tcp[0].name" in said
    assert "left out" in said


def test_what_is_wrong_beside_them_is_refused_with_them(tmp_path: Path) -> None:
    file = tmp_path / "v.yaml"
    file.write_text(WRITTEN.replace("HOST", "''"))
    with pytest.raises(Failure) as told:
        objects([str(file)])
    assert "spec.tcp[0].name" in str(told.value)
