"""`argosy install crds`: manifests that can be given to a Kubernetes cluster."""

from __future__ import annotations

import json

import pytest
import yaml

from argosy.cli.install import crds, manifests
from argosy.resources.definitions import defined, name_of
from argosy.runtime.errors import Failure


def test_all_kinds_of_the_mesh_are_printed_as_documents(capsys: pytest.CaptureFixture[str]) -> None:
    crds(None)
    printed = capsys.readouterr().out
    assert "&id" not in printed
    found = list(yaml.load_all(printed, yaml.CSafeLoader))
    assert [each["metadata"]["name"] for each in found] == [name_of(kind) for kind in defined()]
    assert found == manifests([])


def test_chosen_kinds_are_printed_as_a_list_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    crds(["vs", "DestinationRule"], "json")
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["apiVersion"]) == ("List", "v1")
    assert [each["spec"]["names"]["kind"] for each in found["items"]] == ["VirtualService", "DestinationRule"]


def test_kinds_of_kubernetes_and_other_formats_are_refused() -> None:
    with pytest.raises(Failure, match="Kubernetes has this kind itself"):
        crds(["secret"])
    with pytest.raises(Failure, match="--output table"):
        crds(None, "table")
