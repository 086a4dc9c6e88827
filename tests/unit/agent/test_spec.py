from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from argosy.agent import spec
from argosy.agent.bootstrap import Bootstrap, arguments, bootstrap, envoy_binary, node_id
from argosy.agent.envoy import write_bootstrap
from argosy.agent.ports import Ports
from argosy.agent.processes import ProcessId
from argosy.agent.protocol import PortRequest, Start, UpstreamRequest
from argosy.agent.workload import Record
from argosy.runtime.errors import Failure
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.registration import Port
from argosy.xds.start import KeepAlive, MetricsService, ProxyStart, Statsd

START = Start(
    name="reviews-v1",
    service="reviews",
    service_account="bookinfo-reviews",
    labels={"version": "v1"},
    ports=(PortRequest(workload=9080), PortRequest(workload=9090, application=7000, protocol="grpc")),
    upstreams=(UpstreamRequest(host="ratings", port=9080), UpstreamRequest(host="db", port=5432, bind=5432)),
)


def allocated(tmp_path: Path, start: Start = START, name: str = "reviews-v1") -> tuple[Record, Ports]:
    ports = Ports(
        tmp_path / "ports.json", forbidden=range(0), obstacle=lambda _: "", candidates=range(100, 120)
    )
    return spec.new_record(start, name, ProcessId(1, 2), ports, lambda: "192.0.2.7"), ports


def test_a_record_has_every_port(tmp_path: Path) -> None:
    record, _ = allocated(tmp_path)
    assert [(p.workload, p.bind, p.application, p.protocol) for p in record.ports] == [
        (9080, 100, 101, "http"),
        (9090, 102, 7000, "grpc"),
    ]
    assert [(u.host, u.port, u.bind) for u in record.upstreams] == [
        ("ratings", 9080, 103),
        ("db", 5432, 5432),
    ]
    assert record.outbound_proxy_port == 104
    assert spec.listening_ports(record) == {100, 102, 103, 5432, 104}
    assert record.address == "127.0.0.1"
    assert len(record.token) >= 24


def test_a_router_has_no_proxy_port_and_claims_its_own(tmp_path: Path) -> None:
    router = Start(name="ingress", type="router", port_map={80: 8080}, bind_address="0.0.0.0")
    record, ports = allocated(tmp_path, router, "ingress")
    assert record.outbound_proxy_port == 0
    assert spec.listening_ports(record) == frozenset()
    assert record.address == "192.0.2.7"
    with pytest.raises(Failure, match="port 8080 is taken by ingress"):
        ports.claim("x/gateway/80", 8080)


def test_a_start_that_fails_holds_no_port(tmp_path: Path) -> None:
    ports = Ports(
        tmp_path / "p",
        forbidden=range(0),
        obstacle=lambda p: "in use" * (p == 5432),
        candidates=range(100, 120),
    )
    with pytest.raises(Failure, match="port 5432 cannot be used"):
        spec.new_record(START, "a", ProcessId(0, 0), ports, lambda: "")
    assert ports.claim("b/x", 100) == 100


def test_an_adopted_workload_holds_its_ports(tmp_path: Path) -> None:
    record, _ = allocated(tmp_path)
    _, other = allocated(tmp_path, Start(name="none"), "none")
    spec.resume_ports(record, other)
    for port in (*spec.listening_ports(record), 7000):
        with pytest.raises(Failure, match="taken by reviews-v1"):
            other.claim("x/y", port)


@pytest.mark.parametrize(
    ("taken", "field"), [(100, "ports"), (104, "outbound_proxy_port"), (103, "upstreams")]
)
def test_a_taken_port_moves_alone(tmp_path: Path, taken: int, field: str) -> None:
    record, ports = allocated(tmp_path)
    other = spec.moved(record, taken, ports)
    assert other is not None
    assert taken not in spec.listening_ports(other)
    assert len(spec.listening_ports(other)) == len(spec.listening_ports(record))
    assert [name for name in record.__struct_fields__ if getattr(record, name) != getattr(other, name)] == [
        field
    ]


@pytest.mark.parametrize("taken", [5432, 9])
def test_a_port_that_was_asked_for_does_not_move(tmp_path: Path, taken: int) -> None:
    record, ports = allocated(tmp_path)
    assert spec.moved(record, taken, ports) is None


@pytest.mark.parametrize(
    ("hint", "taken", "name"),
    [
        ("reviews", (), "reviews"),
        ("reviews", ("reviews",), "reviews-2"),
        ("reviews", ("reviews", "reviews-2"), "reviews-3"),
        ("a" * 63, ("a" * 63,), "a" * 61 + "-2"),
    ],
)
def test_free_names(hint: str, taken: tuple[str, ...], name: str) -> None:
    assert spec.free_name(hint, taken) == name
    assert len(name) <= 63


def test_what_the_mesh_is_told(tmp_path: Path) -> None:
    record, _ = allocated(tmp_path)
    register = spec.register_of(record)
    assert (register.workload, register.service, register.service_account) == (
        "reviews-v1",
        "reviews",
        "bookinfo-reviews",
    )
    assert register.ports[0] == Port(workload=9080, bind=100, application=101, protocol="http")
    assert register.create_service
    assert spec.subject(record).app == "reviews"
    assert spec.subject(record).version == "v1"


@pytest.mark.parametrize(
    ("locality", "node"),
    [
        ("", None),
        ("eu", {"region": "eu"}),
        ("eu/a", {"region": "eu", "zone": "a"}),
        ("eu/a/r7", {"region": "eu", "zone": "a", "sub_zone": "r7"}),
    ],
)
def test_where_it_is_goes_to_the_mesh_and_to_its_node(
    tmp_path: Path, locality: str, node: dict[str, str] | None
) -> None:
    record, _ = allocated(tmp_path, msgspec.structs.replace(START, locality=locality))
    assert spec.register_of(record).locality == locality
    assert bootstrap(spec.bootstrap_of(record, "/a", "/x", 1))["node"].get("locality") == node


@pytest.mark.parametrize(
    ("labels", "app", "canonical", "revision"),
    [
        ({}, "reviews", "reviews", ""),
        ({"app": "r"}, "r", "r", ""),
        ({"app": "r", "app.kubernetes.io/name": "k"}, "r", "k", ""),
        ({"service.istio.io/canonical-name": "c", "app.kubernetes.io/name": "k"}, "reviews", "c", ""),
        ({"version": "v1", "service.istio.io/canonical-revision": "c1"}, "reviews", "reviews", "c1"),
    ],
)
def test_canonical_names_are_istios(
    tmp_path: Path, labels: dict[str, str], app: str, canonical: str, revision: str
) -> None:
    record, _ = allocated(tmp_path, msgspec.structs.replace(START, labels=labels))
    own = spec.own(record)
    assert (own.app, own.canonical_service, own.canonical_revision) == (app, canonical, revision)


def test_the_bootstrap_says_who_it_is_and_where_its_configuration_comes_from(tmp_path: Path) -> None:
    record, _ = allocated(tmp_path)
    of = spec.bootstrap_of(record, "/r/admin.sock", "/r/xds.sock", 1000)
    config = bootstrap(of)
    assert node_id(of) == "sidecar~127.0.0.1~reviews-v1.default~default.svc.cluster.local"
    assert config["node"]["id"] == node_id(of)
    assert config["node"]["cluster"] == "reviews.default"
    node = msgspec.convert(config["node"]["metadata"][METADATA_KEY], ProxyNode, strict=False)
    assert node == of.proxy
    assert node.outbound_port == 104
    assert [u.bind for u in node.upstreams] == [103, 5432]
    assert config["admin"]["address"]["pipe"]["path"] == "/r/admin.sock"
    (cluster,) = config["static_resources"]["clusters"]
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["pipe"]["path"] == "/r/xds.sock"
    assert bootstrap(of) == config


STARTED = ProxyStart(
    concurrency=0,
    environment={
        "ISTIO_META_OWNER": "me",
        "ISTIO_METAJSON_TAGS": '{"a": 1}',
        "ISTIO_METAJSON_ODD": "{",
        "ISTIO_META_NAME": "forged",
        "ISTIO_META_ARGOSY": "forged",
        "ISTIO_META_": "none",
        "PLAIN": "x",
    },
    drain_seconds=7,
    service_cluster="called",
    mesh_id="one",
    runtime={"a": "true", "b": "false", "c": "7", "re2.max_program_size.error_level": ""},
    stats_prefixes=("server.", "cluster.outbound"),
    stats_suffixes=("upstream_cx_total",),
    stats_regexes=("a.*b",),
    statsd=Statsd(address="127.0.0.1", port=9125),
    metrics_service=MetricsService(host="m.example", port=15000, keepalive=KeepAlive(time=60)),
    log_flush_ms=500,
    log_flush_kb=8,
    max_connections=9,
)


def started_as(tmp_path: Path, start: ProxyStart) -> Bootstrap:
    record, _ = allocated(tmp_path)
    return spec.bootstrap_of(msgspec.structs.replace(record, start=start), "/a", "/x", 1000)


def test_the_bootstrap_is_as_the_mesh_says(tmp_path: Path) -> None:
    config = bootstrap(started_as(tmp_path, STARTED))
    node = config["node"]
    assert node["cluster"] == "called"
    said = {key: node["metadata"][key] for key in ("OWNER", "TAGS", "ODD", "NAME", "MESH_ID")}
    assert said == {"OWNER": "me", "TAGS": {"a": 1}, "ODD": "{", "NAME": "reviews-v1", "MESH_ID": "one"}
    assert node["metadata"][METADATA_KEY] != "forged", (
        "what the agent says itself is not to be said by others"
    )
    assert "PLAIN" not in node["metadata"]
    patterns = config["stats_config"]["stats_matcher"]["inclusion_list"]["patterns"]
    assert patterns.count({"prefix": "server."}) == 1
    assert patterns[-3:-1] == [{"prefix": "cluster.outbound"}, {"suffix": "upstream_cx_total"}]
    assert patterns[-1] == {"safe_regex": {"regex": "a.*b"}}
    assert config["layered_runtime"]["layers"][0]["static_layer"] == {"a": True, "b": False, "c": "7"}
    (monitor,) = config["overload_manager"]["resource_monitors"]
    assert monitor["typed_config"]["max_active_downstream_connections"] == 9
    statsd, metrics = config["stats_sinks"]
    assert statsd["typed_config"]["address"]["socket_address"]["port_value"] == 9125
    cluster = config["static_resources"]["clusters"][1]
    assert metrics["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] == cluster["name"]
    assert cluster["upstream_connection_options"] == {"tcp_keepalive": {"keepalive_time": 60}}


def test_the_command_line_is_as_the_mesh_says() -> None:
    words = arguments(Path("envoy"), Path("b.json"), STARTED)
    value = {name: words[words.index(name) + 1] for name in words if name.startswith("--")}
    assert value["--concurrency"] == str(os.cpu_count())
    assert value["--drain-time-s"] == "7"
    assert (value["--file-flush-interval-msec"], value["--file-flush-min-size-kb"]) == ("500", "8")
    plain = arguments(Path("envoy"), Path("b.json"))
    assert plain[plain.index("--concurrency") + 1] == "1"
    assert "--file-flush-interval-msec" not in plain


@pytest.mark.parametrize("start", [ProxyStart(), STARTED], ids=["as-it-is", "with-everything"])
def test_envoy_accepts_the_bootstrap(tmp_path: Path, start: ProxyStart) -> None:
    file = tmp_path / "bootstrap.json"
    write_bootstrap(file, bootstrap(started_as(tmp_path, start)))
    command = [*arguments(envoy_binary(), file, start), "--mode", "validate"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_labels_of_a_group_are_its_own(tmp_path: Path) -> None:
    record, _ = allocated(tmp_path)
    member = msgspec.structs.replace(record, labels={"app": "r", "version": "v3"}, locality="eu/a")
    assert spec.app_and_version(member) == ("r", "v3")
    assert bootstrap(spec.bootstrap_of(member, "/a", "/x", 1))["node"]["metadata"]["LABELS"] == member.labels
    assert bootstrap(spec.bootstrap_of(member, "/a", "/x", 1))["node"]["locality"]["zone"] == "a"
    assert spec.own(member).canonical_service == "r"
    assert spec.register_of(member).labels == {"version": "v1"}, "what the group gives is not said as its own"


def test_sockets_have_short_paths() -> None:
    assert spec.socket_folder("reviews-v1") == "reviews-v1"
    long = [spec.socket_folder("a" * 50 + end) for end in ("x", "y")]
    assert long[0] != long[1]
    assert all(len(name) == 24 for name in long)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (Start(name=""), "name: '' is not a name"),
        (Start(name="a" * 64), "is not a name"),
        (Start(name="a", namespace="A_B"), "namespace: 'A_B' is not a name"),
        (Start(name="a", type="ambient"), "type: 'ambient' is not known"),
        (Start(name="a", ports=(PortRequest(workload=70000),)), "port 70000 is not between 0 and 65535"),
        (Start(name="a", port_map={80: 99999}), "port 99999 is not between 0 and 65535"),
    ],
)
def test_what_cannot_be_run_is_said(start: Start, words: str) -> None:
    with pytest.raises(Failure) as failure:
        spec.check(start)
    assert words in failure.value.what
    assert failure.value.remedy
