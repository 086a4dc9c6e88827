"""The flags of `argosy run` as tables: text, and what it means or why it is refused."""

from __future__ import annotations

import pytest

from argosy.agent.protocol import PortRequest, UpstreamRequest
from argosy.cli import run_spec
from argosy.runtime.errors import Failure


@pytest.mark.parametrize(
    ("text", "workload", "application", "protocol"),
    [
        ("9080", 9080, 9080, "http"),
        ("9080:5000", 9080, 5000, "http"),
        ("9080:auto", 9080, 0, "http"),
        ("9090/grpc", 9090, 9090, "grpc"),
        ("5432:auto/tcp", 5432, 0, "tcp"),
    ],
)
def test_ports(text: str, workload: int, application: int, protocol: str) -> None:
    assert run_spec.port(text) == PortRequest(workload=workload, application=application, protocol=protocol)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0", "'0' is not a port"),
        ("65536", "'65536' is not a port"),
        ("http", "'http' is not a port"),
        ("9080:x", "'x' is not a port"),
        ("9080:", "'' is not a port"),
        ("9080/udp", "'udp' is not a protocol"),
        ("٣", "is not a port"),
    ],
)
def test_ports_that_are_none(text: str, complaint: str) -> None:
    with pytest.raises(Failure, match=complaint) as caught:
        run_spec.port(text)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ratings:9080", UpstreamRequest(host="ratings", port=9080)),
        ("ratings.shop:9080=7000", UpstreamRequest(host="ratings.shop", port=9080, bind=7000)),
    ],
)
def test_upstreams(text: str, expected: UpstreamRequest) -> None:
    assert run_spec.upstream(text) == expected


@pytest.mark.parametrize("text", ["ratings", "ratings:x", "ratings:9080=", ":9080", "a b:9080", "a..b:9080"])
def test_upstreams_that_are_none(text: str) -> None:
    with pytest.raises(Failure, match=f"--upstream {text}"):
        run_spec.upstream(text)


@pytest.mark.parametrize("text", ["version", "=v1", "a b=c", "version=v 1", "x" * 64 + "=1"])
def test_labels_that_are_none(text: str) -> None:
    with pytest.raises(Failure, match="not a label"):
        run_spec.labels([text])


@pytest.mark.parametrize("text", ["", "eu-west", "eu-west/a", "eu-west/a/rack-7"])
def test_localities(text: str) -> None:
    assert run_spec.locality(text) == text


@pytest.mark.parametrize("text", ["/", "eu-west/", "/a", "a/b/c/d", "eu-west/*", "eu west"])
def test_localities_that_are_none(text: str) -> None:
    with pytest.raises(Failure, match="not a locality"):
        run_spec.locality(text)


@pytest.mark.parametrize(
    ("service", "version", "name"),
    [("reviews", "v1", "reviews-v1"), ("reviews", "", "reviews"), ("web", "1.2.3_rc", "web-1-2-3-rc")],
)
def test_names_that_are_made(service: str, version: str, name: str) -> None:
    assert run_spec.workload_name(service, version) == name


def make(**given: object) -> object:
    settled: dict[str, object] = {
        "service": "web",
        "name": "",
        "namespace": "default",
        "service_account": "",
        "given_labels": (),
        "ports": (),
        "upstreams": (),
        "command": ("true",),
    }
    return run_spec.start(**(settled | given))  # type: ignore[arg-type]


def test_what_is_left_out_follows_from_the_service() -> None:
    start = run_spec.start(
        service="web",
        name="",
        namespace="shop",
        service_account="",
        given_labels=["version=v2", "app=site"],
        ports=["80:auto"],
        upstreams=[],
        command=["x"],
    )
    assert (start.name, start.service_account, start.labels) == (
        "web-v2",
        "web",
        {"app": "site", "version": "v2"},
    )


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"service": "Web"}, "--service Web: not a DNS label"),
        ({"name": "a.b"}, "--name a.b: not a DNS label"),
        ({"ports": ["80", "80:auto"]}, "--port 80 is given twice"),
        ({"command": ()}, "no command"),
    ],
)
def test_what_is_refused(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(Failure, match=complaint):
        make(**given)


def test_a_gateways_ports() -> None:
    assert run_spec.gateway_port("80=8080") == (80, 8080)
    assert run_spec.gateway_port("8080") == (8080, 8080)
