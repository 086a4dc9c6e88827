"""The body of `argosy validate`: conformance/README.md, "argosy validate -f F… -o json"."""

from argosy.resources.loading import load_documents
from argosy.resources.report import report

TEXT = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec: {host: reviews}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p}
spec: {mtls: {mode: ODD}}
---
apiVersion: networking.istio.io/v7
kind: Gateway
metadata: {name: g}
---
just text
"""


def test_one_entry_per_object() -> None:
    entries = report(load_documents(TEXT, "f.yaml"))
    assert entries[0] == {
        "file": "f.yaml",
        "index": 0,
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "namespace": "shop",
        "name": "reviews",
        "valid": True,
        "errors": [],
        "warnings": [],
    }
    assert [entry["index"] for entry in entries] == [0, 1, 2, 3, 4]
    assert [entry["valid"] for entry in entries] == [True, True, False, False, False]


def test_kinds_that_are_not_the_meshs_are_skipped() -> None:
    entries = report(load_documents(TEXT, "f.yaml"))
    assert [entry.get("skipped", False) for entry in entries] == [False, True, False, False, False]


def test_errors_name_field_and_message() -> None:
    entries = report(load_documents(TEXT, "f.yaml"))
    assert entries[2]["errors"] == [
        {"field": "spec.mtls.mode", "message": '"ODD" is not one of DISABLE, PERMISSIVE, STRICT, UNSET'}
    ]
    assert entries[3]["errors"][0]["field"] == "apiVersion"
    assert entries[4]["kind"] is None
    assert entries[4]["errors"][0]["field"] == ""


def test_mesh_settings_in_a_file_of_their_own_are_judged() -> None:
    text = """
connectTimeout: 1s
defaultConfig: {concurrency: 2}
---
connectTimeout: 0s
---
networks: {a: {gateways: [{address: 1.1.1.1, port: 15443}]}}
---
concurrency: 2
---
{kind: MeshConfig, connectTimeout: 1s}
"""
    entries = report(load_documents(text, "f.yaml"))
    assert [(entry["kind"], entry["valid"]) for entry in entries] == [
        ("MeshConfig", True),
        ("MeshConfig", False),
        ("MeshNetworks", True),
        (None, False),
        ("MeshConfig", False),
    ]
    assert [error["field"] for error in entries[1]["errors"]] == ["connectTimeout"]
    assert [error["field"] for error in entries[3]["errors"]] == ["apiVersion"]
