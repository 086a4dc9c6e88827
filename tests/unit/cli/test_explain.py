"""`argosy explain` of files: what it prints, and its exit codes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from argosy.cli.main import app
from argosy.runtime.errors import Failure

SHOP = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: reviews, version: v1}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: not-of-the-mesh}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - match:
    - uri: {prefix: /api}
    route: [{destination: {host: reviews}}]
"""

LINE = 1 + SHOP.splitlines().index("    - uri: {prefix: /api}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    return path


def explain(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", "-f", str(file), *arguments])


def test_where_a_request_goes_with_file_and_line(file: Path) -> None:
    done = explain(file, "--from", "shop/reviews-v1", "--to", "http://reviews:9080/api")
    assert done.exit_code == 0, done.output
    assert "outbound|9080||reviews.shop.svc.cluster.local" in done.output
    assert f"VirtualService shop/vs spec.http[0].match[0] ({file}:{LINE})" in done.output
    assert f"Service shop/reviews ({file}:2)" in done.output
    assert "10.0.0.1:9080, healthy" in done.output


def test_the_local_port_of_a_declared_upstream(file: Path) -> None:
    declared = ("--upstream", "reviews:9080=7000")
    done = explain(file, "--from", "shop/reviews-v1", "--to", "http://localhost:7000/api", *declared)
    assert done.exit_code == 0, done.output
    assert "127.0.0.1:7000 is the declared upstream reviews:9080" in done.output
    assert "outbound|9080||reviews.shop.svc.cluster.local" in done.output


def test_the_destination_may_be_the_argument_as_in_curl(file: Path) -> None:
    said = explain(file, "--from", "shop/reviews-v1", "--to", "http://reviews:9080/api")
    assert explain(file, "--from", "shop/reviews-v1", "http://reviews:9080/api").stdout == said.stdout != ""


@pytest.mark.parametrize("name", ["reviews", "reviews-v1", "reviews.shop"])
def test_a_sender_is_a_workload_or_any_of_a_service(file: Path, name: str) -> None:
    done = explain(file, "--from", name, "-n", "shop", "--to", "reviews:9080")
    assert done.exit_code == 1, "no route for /"
    assert "path / does not begin with /api" in done.output
    assert "It goes nowhere" in done.output


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_for_programs(file: Path, form: str) -> None:
    done = explain(file, "--from", "shop/reviews", "--to", "http://reviews:9080/api", "-o", form)
    told = yaml.safe_load(done.stdout)
    assert (told["arrives"], told["verdict"]["is"]) == (True, "forwarded")
    (target,) = told["verdict"]["targets"]
    assert target["cluster"]["endpoints"][0]["address"] == "10.0.0.1:9080"
    assert told["steps"][-1]["origins"][0] == {
        "kind": "VirtualService", "namespace": "shop", "name": "vs", "field": "spec.http[0].match[0]",
        "file": str(file), "line": LINE,
    }  # fmt: skip


def test_without_a_destination_everything_that_the_sender_knows(file: Path) -> None:
    done = explain(file, "--from", "shop/reviews")
    assert done.exit_code == 0, done.output
    assert "GET http://reviews.shop.svc.cluster.local:9080/  no" in done.output


def test_who_has_no_workload_is_described_by_labels(file: Path) -> None:
    done = explain(file, "--from", "shop/new", "--labels", "app=new", "--to", "http://reviews:9080/api")
    assert done.exit_code == 0, done.output


def test_a_token_is_shown_and_said_to_be_unchecked(file: Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "ada"}).encode()).decode().rstrip("=")
    done = explain(
        file, "--from", "shop/reviews", "--to", "http://reviews:9080/api", "--jwt", f"e30.{claims}.x"
    )
    assert 'sub: "ada"' in done.output
    assert "whether the token is valid was not looked at" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not valid"),
        ("- 1", "is not an object"),
        (b"\xff\xfe", "not UTF-8"),
        ("{kind: List, apiVersion: v1, items: [7]}", "is not an object"),
        (SHOP.replace("hosts: [reviews]", "hosts: 7"), "spec.hosts"),
    ],
)
def test_files_that_are_not_valid_are_no_answer(file: Path, text: str | bytes, said: str) -> None:
    """1 would say that the request goes nowhere."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = explain(file, "--from", "shop/reviews", "--to", "http://reviews:9080/")
    assert isinstance(done.exception, Failure), done.output
    assert done.exception.code == 2
    assert said in str(done.exception)


def test_what_is_of_no_kind_of_the_mesh_is_told_without_what_a_terminal_would_obey(file: Path) -> None:
    file.write_text(SHOP + '---\n{apiVersion: "a\\e[2J", kind: "b\\0", metadata: {name: x}}\n')
    done = explain(file, "--from", "shop/reviews", "--to", "http://reviews:9080/")
    assert "is no kind of the mesh's: left out" in done.output
    assert "\x1b" not in done.output
    assert "\0" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--to", "http://a/"),
        ("--from", "a", "--gateway", "a=b"),
        ("--from", "nobody", "--to", "http://a/"),
        ("--from", "shop/reviews", "--to", "ftp://a/"),
        ("--from", "shop/reviews", "ftp://a/"),
        ("--from", "shop/reviews", "http://a/", "--to", "http://b/"),
        ("--from", "shop/reviews", "--to", "http://a/", "-H", "none"),
        ("--from", "shop/reviews", "--to", "http://a/", "--jwt", "none"),
        ("--from", "shop/reviews", "--to", "http://a/", "--interception", "none"),
        ("--from", "shop/reviews", "--to", "http://localhost:7000/", "--upstream", "reviews:9080"),
        ("--gateway", "a=b", "--to", "http://a/", "--upstream", "reviews:9080=7000"),
        ("--gateway", "a=b", "--to", "https://a/", "--client-certificate", "maybe"),
        ("--from", "shop/reviews", "--to", "http://a/", "--client-certificate", "none"),
        ("--from", "shop/reviews", "--to", "http://a/", "--jwt", "a.b"),
        ("--from", "shop/reviews", "--to", "http://a/", "--jwt", f"e30.{'W' * 99999}.x"),
        ("--from", "shop/reviews", "--to", "http://a/", "--source", "1.2.3"),
        ("--from", "shop/reviews", "--to", "http://a/", "-X", "GE T"),
        ("--from", "shop/reviews", "--to", "http://a/", "-X", ""),
        ("--from", "shop/reviews", "--to", "http://a/", "--labels", "app=reviews"),
        ("--from", "shop/reviews", "--to", "http://"),
        ("--from", "shop/reviews", "--to", "http://[::1"),
        ("--from", "shop/reviews", "--to", "http://[a]/"),
        ("--from", "shop/reviews", "--to", "a:99999"),
        ("--from", "shop/reviews", "--to", "a:0"),
        ("--from", "shop/reviews", "--to", "a:b"),
        ("--from", "shop/new", "--labels", "none", "--to", "http://a/"),
        ("--from", "shop/reviews", "--to", "http://a/", "-o", "none"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(file: Path, arguments: tuple[str, ...]) -> None:
    done = explain(file, *arguments)
    assert isinstance(done.exception, Failure), done.output
    assert done.exception.code == 2
