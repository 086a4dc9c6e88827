"""What becomes of findings: the catalogue, order, once each, suppressed; and how a World is made."""

from __future__ import annotations

import pytest

from argosy.explain.analysis.analyze import ALL, analyze, suppression
from argosy.explain.analysis.catalogue import BY_NAME, MESSAGES
from argosy.explain.analysis.loaded import world as loaded
from argosy.resources.loading import load_documents
from tests.unit.explain.analysis.written import found, obj, world

NOT_ASKED = {
    "InternalError",  # of a program that analyses wrongly
    "AlphaAnnotation",  # left out by Istio too, as noise
    "InsufficientPermissions",
    "UnsupportedKubernetesVersion",
    "LocalhostListener",
    "UnsupportedGatewayAPIVersion",
    "FutureUnsupportedGatewayAPIVersion",
    "UnknownUpgradeCompatibility",
    "UpdateIncompatibility",
    "MultiClusterInconsistentService",
}
"""Messages of what cannot be seen in objects: a cluster's version, its sockets, an upgrade, several clusters."""


def test_every_message_has_one_code_and_somebody_who_finds_it() -> None:
    assert len({each.code for each in MESSAGES}) == len(MESSAGES) == len(BY_NAME)
    assert {name for each in ALL for name in each.names} | NOT_ASKED == set(BY_NAME)
    assert len({each.name for each in ALL}) == len(ALL)


def test_the_worst_comes_first_and_nothing_twice() -> None:
    gateway = obj(
        "Gateway a/g", "{selector: {app: none}, servers: [{port: {number: 443}, tls: {credentialName: c}}]}"
    )
    told = [
        code for code, _ in found(gateway, obj("Namespace a"), obj("Service a/s", "{ports: [{port: 1}]}"))
    ]
    assert told == ["IST0101", "IST0102", "IST0118"], "two analyzers see that nothing is selected"


def test_of_one_namespace_and_of_what_has_none() -> None:
    made = world(
        obj("Namespace a"),
        obj("Service a/s", "{ports: [{port: 1}]}"),
        obj("Service b/s", "{ports: [{port: 1}]}"),
    )
    assert [each.message.origin for each in analyze(made, namespace="b")] == ["Namespace a", "Service b/s"]


@pytest.mark.parametrize(
    ("annotation", "hushed", "told"),
    [
        ("", "IST0118=Service s.a", []),
        ("", "IST0118=Service *.a", []),
        ("", "IST0118=Service s.b", ["IST0118"]),
        ("", "IST0101=Service s.a", ["IST0118"]),
        ("IST0101, IST0118", "", []),
        ("*", "", []),
        ("IST0101", "", ["IST0118"]),
    ],
)
def test_suppressed(annotation: str, hushed: str, told: list[str]) -> None:
    annotations = {"galley.istio.io/analyze-suppress": annotation} if annotation else {}
    made = world(obj("Service a/s", "{ports: [{port: 1}]}", annotations=annotations))
    hush = [suppression(hushed)] if hushed else []
    assert [each.type.code for each in analyze(made, suppressions=hush)] == told


def test_how_a_suppression_is_written() -> None:
    for text in ("IST0118", "=x", "IST0118="):
        with pytest.raises(ValueError, match="write CODE=Kind"):
            suppression(text)


def test_files_lie_over_what_a_server_holds() -> None:
    held = [obj("Service a/s", "{ports: [{port: 1}]}")]
    mended = load_documents(
        "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: a}, spec: {ports: [{name: http, port: 1}]}}",
        "f",
    )
    assert [each.type.code for each in analyze(loaded([], held=held)[0])] == ["IST0118"]
    assert analyze(loaded(mended, held=held)[0]) == []


def test_what_is_no_object_is_given_back() -> None:
    made, strange = loaded(load_documents("5\n---\n{a: 1}\n---\n{networks: {}}", "f"))
    assert [document.object for document in strange] == [5, {"a": 1}]
    assert made.networks is not None


def test_an_object_without_a_namespace_is_in_the_chosen_one_and_called_without() -> None:
    text = "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 1}]}}"
    made, _ = loaded(load_documents(text, "f"), namespace="shop")
    assert [each.namespace for each in made.of("Service")] == ["shop"]
    assert [each.message.origin for each in analyze(made, namespace="shop")] == ["Service s"]
