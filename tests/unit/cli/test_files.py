"""`validate`, `xds dump` and what `-f` means."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from argosy.cli import files
from argosy.cli.main import app
from argosy.demo.shop import CONFIG
from argosy.runtime.errors import Failure

GOOD = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
"""
BAD = GOOD.replace("http: [", "http: [{timeout: soon}, ")
OTHER = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
MESH = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 9080, targetPort: 9090}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: one}
spec: {address: 10.0.0.1, labels: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.example]
  resolution: STATIC
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  endpoints: [{address: 1.1.1.1}]
"""


def called(*arguments: str, stdin: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), input=stdin)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def written(tmp_path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_the_report_has_an_entry_for_each_object(tmp_path: Path) -> None:
    folder = written(tmp_path, a=GOOD + "---\n" + OTHER, b=BAD)
    code, said = called("validate", "-f", str(folder), "-o", "json")
    entries = json.loads(said)
    assert code == 1
    assert [(Path(e["file"]).name, e["index"], e["kind"], e["valid"]) for e in entries] == [
        ("a.yaml", 0, "VirtualService", True),
        ("a.yaml", 1, "Deployment", True),
        ("b.yaml", 0, "VirtualService", False),
    ]
    assert entries[1]["skipped"] is True
    assert "skipped" not in entries[0]
    assert entries[0] | {"file": "", "errors": [], "warnings": []} == {
        "file": "",
        "index": 0,
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "namespace": "shop",
        "name": "reviews",
        "valid": True,
        "errors": [],
        "warnings": [],
    }
    assert {"field", "message"} == set(entries[2]["errors"][0])


def test_standard_input_is_a_file_too() -> None:
    code, said = called("validate", "-f", "-", "-o", "json", stdin=GOOD)
    assert code == 0
    assert json.loads(said)[0]["file"] == "-"


def test_mesh_settings_in_a_file_of_their_own_are_judged_and_told(tmp_path: Path) -> None:
    settings = "connectTimeout: 1s\nenableTracing: true\ndefaultConfig: {configPath: /a}\nsomethingNew: 1\n"
    networks = "networks: {a: {gateways: [{address: 1.1.1.1, port: 15443}]}}"
    folder = written(tmp_path, a=settings, b=networks, c="connectTimeout: 0s")
    code, said = called("validate", "-f", str(folder), "-o", "json")
    assert code == 1
    entries = json.loads(said)
    assert [(entry["kind"], entry["valid"]) for entry in entries] == [
        ("MeshConfig", True),
        ("MeshNetworks", True),
        ("MeshConfig", False),
    ]
    told = [warning["field"] for warning in entries[0]["warnings"]]
    assert sorted(told) == ["defaultConfig.configPath", "somethingNew"]


def test_text_that_is_no_yaml_is_an_invalid_entry_and_the_others_are_still_judged(tmp_path: Path) -> None:
    folder = written(tmp_path, a="{", b=GOOD)
    code, said = called("validate", "-f", str(folder), "-o", "json")
    entries = {Path(e["file"]).name: e["valid"] for e in json.loads(said)}
    assert (code, entries) == (1, {"a.yaml": False, "b.yaml": True})


def test_what_is_not_in_force_is_a_warning_of_a_valid_object(tmp_path: Path) -> None:
    server = "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*'], defaultEndpoint: '127.0.0.1:80'}"
    gateway = GOOD.replace("VirtualService", "Gateway").partition("spec:")[0]
    folder = written(tmp_path, a=f"{gateway}spec: {{servers: [{server}]}}\n", b=GOOD)
    code, said = called("validate", "-f", str(folder), "-o", "json")
    gateway_entry, good = json.loads(said)
    assert (code, gateway_entry["valid"], good["warnings"]) == (0, True, [])
    assert gateway_entry["warnings"] == [
        {
            "field": "spec.servers[0].defaultEndpoint",
            "message": "127.0.0.1:80: has no effect, as in Istio; remove it",
        }
    ]


def test_people_get_a_line_for_each_problem(tmp_path: Path) -> None:
    folder = written(tmp_path, b=BAD)
    code, said = called("validate", "-f", str(folder))
    assert code == 1
    assert "b.yaml: VirtualService shop/reviews: error: spec.http[0].timeout: " in said
    assert said.splitlines()[-1] == "0 valid, 1 invalid"


def test_a_folder_without_files_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"has no \.yaml"):
        called("validate", "-f", str(tmp_path))
    with pytest.raises(Failure, match="cannot read /nowhere"):
        called("validate", "-f", "/nowhere")


def test_an_object_whose_kind_and_name_are_no_text_is_an_invalid_entry(tmp_path: Path) -> None:
    folder = written(tmp_path, a="{apiVersion: 1, kind: 5, metadata: {name: 7}}")
    code, said = called("validate", "-f", str(folder))
    assert code == 1
    assert "a.yaml: 5 7: error: apiVersion: " in said


def test_standard_input_that_is_closed_or_no_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as Python sets it for `argosy … <&-`
    with pytest.raises(Failure, match="standard input is closed"):
        files.standard_input()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    with pytest.raises(Failure, match="standard input is not UTF-8 text: byte 0"):
        files.standard_input()


def dumped(tmp_path: Path, proxy: str, *more: str, text: str = MESH) -> dict[str, list[dict[str, object]]]:
    folder = written(tmp_path, mesh=text)
    code, said = called("xds", "dump", "-f", str(folder / "mesh.yaml"), "--proxy", proxy, *more)
    assert code == 0
    found: dict[str, list[dict[str, object]]] = json.loads(said)
    return found


def names(found: dict[str, list[dict[str, object]]], kind: str) -> list[object]:
    return [one.get("name") or one.get("cluster_name") for one in found[kind]]


def test_a_sidecar_gets_the_inbound_ports_of_the_services_that_select_its_labels(tmp_path: Path) -> None:
    found = dumped(tmp_path, "type=sidecar,ip=9.9.9.9,labels=app=reviews;version=v1")
    assert "inbound|9090||" in names(found, "clusters")
    assert "outbound|9080||reviews.default.svc.cluster.local" in names(found, "clusters")


def test_and_of_those_that_have_an_endpoint_at_its_address(tmp_path: Path) -> None:
    assert "inbound|5432||" in names(dumped(tmp_path, "type=sidecar"), "clusters")
    assert "inbound|5432||" not in names(dumped(tmp_path, "type=sidecar,ip=2.2.2.2"), "clusters")
    assert "inbound|5432||" not in names(dumped(tmp_path, "type=sidecar,namespace=elsewhere"), "clusters")


def test_the_proxy_itself_is_nobodys_endpoint(tmp_path: Path) -> None:
    found = dumped(tmp_path, "type=sidecar,ip=9.9.9.9,labels=app=reviews")
    assert "10.0.0.1" in json.dumps(found["endpoints"])
    assert "9.9.9.9" not in json.dumps(found["endpoints"])


def test_a_workload_entry_at_its_address_is_the_proxy(tmp_path: Path) -> None:
    assert "inbound|9090||" in names(dumped(tmp_path, "type=sidecar,ip=10.0.0.1"), "clusters")


def test_a_router_gets_the_gateways_that_select_it(tmp_path: Path) -> None:
    text = (CONFIG / "shop.yaml").read_text() + "---" + MESH.replace("reviews", "frontend")
    assert names(dumped(tmp_path, "type=router,labels=istio=ingressgateway", text=text), "listeners") == [
        "0.0.0.0_80"
    ]
    assert dumped(tmp_path, "type=router,labels=istio=other", text=text)["listeners"] == []


def test_mesh_settings_change_what_comes_out(tmp_path: Path) -> None:
    settings = tmp_path / "mesh-config"
    settings.write_text("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n")
    assert "PassthroughCluster" in json.dumps(dumped(tmp_path, "type=sidecar")["listeners"])
    strict = dumped(tmp_path, "type=sidecar", "--mesh-config", str(settings))
    assert "PassthroughCluster" not in json.dumps([r for r in strict["routes"] if r["name"] == "9080"])


def test_what_is_invalid_is_not_dumped(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"mesh.yaml\[0\]: spec\.http\[0\]\.timeout"):
        dumped(tmp_path, "type=sidecar", text=BAD)


@pytest.mark.parametrize("proxy", ["type=x", "color=red", "type"])
def test_a_proxy_that_is_not_understood(tmp_path: Path, proxy: str) -> None:
    with pytest.raises(Failure, match="--proxy"):
        dumped(tmp_path, proxy)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    assert dumped(tmp_path, "type=sidecar") == dumped(tmp_path, "type=sidecar")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(Failure, match="not UTF-8"):
        called("validate", "-f", str(tmp_path))


def test_the_end_of_a_log_is_found(tmp_path: Path) -> None:
    from argosy.cli.logs import last

    text = b"".join(b"line %d\n" % i for i in range(50_000))
    assert last(io.BytesIO(text), 2) == [b"line 49998\n", b"line 49999\n"]
    assert len(last(io.BytesIO(text), 20_000)) == 20_000
    assert last(io.BytesIO(b"a\nb"), 5) == [b"a\n", b"b"]
    assert last(io.BytesIO(b""), 5) == []
    assert last(io.BytesIO(b"a\n"), 0) == []
