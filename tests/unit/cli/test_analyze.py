"""`argosy analyze` without a server: what it prints, where it says a thing is, and its exit codes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from argosy.cli import analyze
from argosy.cli.lines import Lines
from argosy.cli.main import app
from argosy.runtime.errors import Failure

MESH = """\
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  ports:
    - {port: 80}
---
# a route
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: cart
  namespace: shop
spec:
  hosts: [cart]
  http:
    - route:
        - destination:
            host: nobody
"""
HOST = (
    "spec.http[0].route[0].destination.host: nobody (nobody.shop.svc.cluster.local): no service has this host"
)


def called(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["analyze", *arguments], input=stdin)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.yaml"
    path.write_text(MESH)
    return str(path)


def test_json_has_the_contract_first_and_file_and_line(shop: str) -> None:
    code, out, _ = called("-f", shop, "-o", "json")
    assert code == 1
    first, second = json.loads(out)
    assert list(first)[:4] == ["code", "level", "origin", "message"]
    assert (first["code"], first["level"], first["origin"]) == (
        "IST0101",
        "Error",
        "VirtualService shop/cart",
    )
    assert first["message"].startswith(HOST)
    assert (first["file"], first["line"]) == (shop, 19)
    assert first["documentation"].endswith("/ist0101/")
    assert (second["code"], second["line"]) == ("IST0118", 6)


def test_a_table_for_people(shop: str) -> None:
    code, out, err = called("-f", shop)
    assert code == 1
    assert out.splitlines()[0].split() == ["LEVEL", "CODE", "OBJECT", "WHERE", "MESSAGE"]
    assert f"{shop}:19" in out
    assert "1 error, 1 for information; 2 objects analysed" in err


@pytest.mark.parametrize(
    ("arguments", "code", "codes"),
    [
        ((), 1, ["IST0101", "IST0118"]),
        (("--output-threshold", "error"), 1, ["IST0101"]),
        (("--suppress", "IST0101=VirtualService cart.shop"), 0, ["IST0118"]),
        (("-S", "IST0101=* cart.*", "--failure-threshold", "Info"), 1, ["IST0118"]),
        (("-n", "other"), 0, []),
        (("-n", "other", "-A"), 1, ["IST0101", "IST0118"]),
    ],
)
def test_what_is_told_and_what_fails(
    shop: str, arguments: tuple[str, ...], code: int, codes: list[str]
) -> None:
    done, out, _ = called("-f", shop, "-o", "json", *arguments)
    assert (done, [each["code"] for each in json.loads(out)]) == (code, codes)


def test_files_may_be_named_as_arguments_and_be_standard_input(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert called(shop, "-o", "json") == called("-f", shop, "-o", "json")
    assert json.loads(called("-f", "-", "-o", "json", stdin=MESH)[1])[0]["line"] == 19


def test_mesh_settings_in_a_file_of_their_own(tmp_path: Path) -> None:
    mesh, telemetry = tmp_path / "mesh.yaml", tmp_path / "telemetry.yaml"
    mesh.write_text("extensionProviders: [{name: l, lightstep: {service: s.a.svc.cluster.local, port: 1}}]\n")
    telemetry.write_text(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: istio-system}\n"
        "spec: {tracing: [{providers: [{name: l}]}]}\n"
    )
    for arguments in (("--mesh-config", str(mesh)), ("-f", str(mesh))):
        _, out, _ = called("-f", str(telemetry), "-o", "json", *arguments)
        assert ("IST0002", "Telemetry istio-system/t") in [
            (each["code"], each["origin"]) for each in json.loads(out)
        ]


def test_what_cannot_be_read_is_told_and_the_rest_analysed(tmp_path: Path, shop: str) -> None:
    broken, strange = tmp_path / "broken.yaml", tmp_path / "strange.yaml"
    broken.write_text("a: [\n")
    strange.write_text("{a: 1}\n")
    code, out, err = called("-f", str(broken), "-f", shop, "-f", str(strange), "-o", "json")
    assert (code, len(json.loads(out))) == (2, 2)
    assert f"{broken}:" in err
    assert f"{strange}:1: is no object" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("-f", "/nowhere.yaml"),
        ("--output-threshold", "Bad", "-f", "-"),
        ("--suppress", "IST0101", "-f", "-"),
        ("-o", "xml", "-f", "-"),
        ("--mesh-config", "/nowhere.yaml", "-f", "-"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(Failure):
        called(*arguments)


def test_nothing_found(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(MESH.split("---")[0].replace("{port: 80}", "{name: http, port: 80}"))
    assert called("-f", str(path)) == (0, "", "nothing found; 1 object analysed\n")
    assert json.loads(called("-f", str(path), "-o", "json")[1]) == []


def test_what_is_looked_for() -> None:
    code, out, _ = called("-L")
    assert code == 0
    assert "virtualservice.GatewayAnalyzer" in out
    (one,) = (
        each
        for each in json.loads(called("-L", "-o", "json")[1])
        if each["name"] == "gateway.ConflictingGatewayAnalyzer"
    )
    assert one["codes"] == ["IST0145"]


def test_help_says_what_exit_codes_mean() -> None:
    done = CliRunner().invoke(app, ["analyze", "--help"])
    assert "Exit code 0" in done.stdout
    assert analyze.FOUND == 1


LISTED = """\
kind: A
metadata:
  annotations:
    a.b/c: d
spec: {ports: [{name: a},
  {number: 1}]}
---
kind: BList
items:
- kind: B
  spec: 1
"""


@pytest.mark.parametrize(
    ("index", "field", "line"),
    [
        (0, "", 1),
        (0, "metadata.annotations[a.b/c]", 4),
        (0, "metadata.name", 2),
        (0, "spec.ports[0].name", 5),
        (0, "spec.ports[1].name", 6),
        (0, "spec.ports[7].name", 5),
        (1, "spec", 11),
        (2, "", None),
    ],
)
def test_lines_of_fields(index: int, field: str, line: int | None) -> None:
    assert Lines(LISTED).of(index, field) == line
