"""`argosy explain-kind`: kinds and fields as `kubectl explain` tells them, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from argosy.cli.explain_kind import WIDTH, explain_kind, explained, for_programs
from argosy.resources.kinds import KINDS, Kind
from argosy.runtime.errors import Failure


def told(what: str, api_version: str = "", *, recursive: bool = False) -> list[str]:
    return list(explained(what, api_version, recursive=recursive))


def test_a_field_is_told_with_its_type_its_docstring_and_its_fields() -> None:
    lines = told("crd.spec.versions")
    assert lines[:6] == [
        "GROUP:      apiextensions.k8s.io",
        "KIND:       CustomResourceDefinition",
        "VERSION:    v1",
        "",
        "FIELD: versions <[]Version> -required-",
        "",
    ]
    assert lines[6:9] == ["DESCRIPTION:", "    Its versions, the one that is stored first.", ""]
    at = lines.index("  storage\t<boolean> -required-")
    assert lines[at + 1] == "    Whether objects are stored in it: of one version alone."
    assert max(map(len, lines)) <= WIDTH + 1


def test_retries_read_like_documentation() -> None:
    lines = told("virtualservice.spec.http.retries")
    at = lines.index("  attempts\t<integer>")
    assert lines[at + 1].startswith("    How often a request is sent again at most")
    assert not [line for line in lines if "<no description>" in line]
    assert "    retries has two, on connect-failure, refused-stream, unavailable," in lines


def test_a_list_of_fields_tells_what_each_is_for_and_not_what_its_type_is() -> None:
    lines = told("vs.spec.http")
    at = lines.index("  redirect\t<HTTPRedirect>")
    assert lines[at + 1 : at + 3] == ["    Answers with another address.", ""]


def test_names_of_kinds_may_be_short_and_versions_chosen() -> None:
    assert told("vs")[:3] == told("VirtualService")[:3] == told("virtualservices")[:3]
    assert told("vs", "networking.istio.io/v1alpha3")[2] == "VERSION:    v1alpha3"
    assert told("ns")[0] == "KIND:       Namespace"


def test_fields_of_lists_and_maps_are_those_of_their_entries() -> None:
    assert "  destination\t<Destination> -required-" in told("vs.spec.http.route")
    assert "  exact\t<string>" in told("vs.spec.http.match.headers")
    assert told("vs.spec.http.match.headers")[4] == "FIELD: headers <map[string]StringMatch>"
    assert "FIELDS:" not in told("vs.spec.hosts")


def test_values_that_may_be_written_are_named() -> None:
    assert "ENUM: DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL" in told("dr.spec.trafficPolicy.tls.mode")
    assert "RANGE: 1 to 65535" in told("service.spec.ports.port")


def test_recursive_names_every_field_below() -> None:
    lines = told("vs", recursive=True)
    at = lines.index("    http\t<[]HTTPRoute>")
    assert "          exact\t<string>" in lines[at:]
    assert not [line for line in lines if "Whether" in line]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_can_be_told_in_full(kind: Kind) -> None:
    for version in kind.api_versions:
        lines = told(kind.kind, version, recursive=True)
        assert f"KIND:       {kind.kind}" in lines
        assert "  metadata\t<ObjectMeta>" in lines


@pytest.mark.parametrize(
    ("what", "api_version", "says"),
    [
        ("vs.spec.nothing", "", "nothing: not a field of vs.spec"),
        ("vs.spec.hosts.more", "", "more: not a field of vs.spec.hosts"),
        ("nothing", "", "nothing: not a kind"),
        ("vs", "networking.istio.io/v9", "networking.istio.io/v9: not of VirtualService"),
    ],
)
def test_what_is_not_there_is_named(what: str, api_version: str, says: str) -> None:
    with pytest.raises(Failure, match=says):
        told(what, api_version)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    explain_kind("vs.spec.hosts", "")
    assert capsys.readouterr().out.splitlines() == told("vs.spec.hosts")


def test_programs_get_the_same_as_a_document() -> None:
    found = for_programs("dr.spec.trafficPolicy.tls")
    assert (found["group"], found["version"], found["kind"], found["path"]) == (
        "networking.istio.io",
        "v1",
        "DestinationRule",
        "spec.trafficPolicy.tls",
    )
    assert (found["field"]["name"], found["field"]["type"], found["field"]["required"]) == (
        "tls",
        "ClientTLSSettings",
        False,
    )
    mode = next(one for one in found["field"]["fields"] if one["name"] == "mode")
    assert mode["enum"] == ["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]
    assert mode["description"]
    port = next(one for one in for_programs("service.spec.ports")["field"]["fields"] if one["name"] == "port")
    assert (port["type"], port["required"], port["minimum"], port["maximum"]) == ("integer", True, 1, 65535)
    assert for_programs("service")["group"] == ""


def test_a_document_is_as_deep_as_was_asked() -> None:
    (spec,) = (one for one in for_programs("vs")["field"]["fields"] if one["name"] == "spec")
    assert "fields" not in spec
    whole = for_programs("vs", recursive=True)
    (spec,) = (one for one in whole["field"]["fields"] if one["name"] == "spec")
    (http,) = (one for one in spec["fields"] if one["name"] == "http")
    assert "retries" in {one["name"] for one in http["fields"]}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_has_a_document(kind: Kind) -> None:
    found = for_programs(kind.kind, kind.api_version, recursive=True)
    assert json.loads(json.dumps(found)) == found
    names = [
        line.split("\t")[0].strip()
        for line in told(kind.kind, kind.api_version, recursive=True)
        if "\t" in line
    ]
    assert list(_names(found["field"])) == names


def _names(field: dict[str, Any]) -> Iterator[str]:
    for one in field.get("fields", ()):
        yield one["name"]
        yield from _names(one)


def test_the_document_is_printed_in_either_form(capsys: pytest.CaptureFixture[str]) -> None:
    explain_kind("vs.spec", form="json")
    as_json = json.loads(capsys.readouterr().out)
    explain_kind("vs.spec", form="yaml")
    assert yaml.safe_load(capsys.readouterr().out) == as_json
    with pytest.raises(Failure, match="not a format"):
        explain_kind("vs.spec", form="xml")
