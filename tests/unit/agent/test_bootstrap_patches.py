"""Patches of the bootstrap: how they are merged, and that one that cannot be harms nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap as Message
from google.protobuf import json_format

from argosy.agent import bootstrap_patches
from argosy.agent.bootstrap import Bootstrap, bootstrap
from argosy.agent.bootstrap_patches import Unfit, judge, merged
from argosy.xds.node import ProxyNode
from argosy.xds.start import BootstrapPatch, MetricsService, ProxyStart, Statsd

OF = Bootstrap(
    name="a",
    namespace="b",
    proxy=ProxyNode(),
    admin_socket="/tmp/admin",
    xds_socket="/tmp/xds",
    start=ProxyStart(
        statsd=Statsd(address="127.0.0.1", port=1), metrics_service=MetricsService(host="a", port=1)
    ),
)
CONFIG = bootstrap(OF)


def patch(value: dict[str, Any], name: str = "mine", index: int = 0) -> BootstrapPatch:
    data = json_format.ParseDict(value, Message()).SerializeToString()
    return BootstrapPatch(namespace="shop", name=name, index=index, value=data)


def made(*values: dict[str, Any]) -> Message:
    return Message.FromString(merged(CONFIG, [patch(value) for value in values]))


def test_nothing_merged_is_what_the_agent_writes() -> None:
    assert made() == json_format.ParseDict(CONFIG, Message())


def test_values_are_replaced_lists_are_longer_and_messages_merged() -> None:
    out = made(
        {"stats_flush_interval": "0.5s"},
        {"stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "mine"}]}}}},
        {"node": {"metadata": {"OWNER": "me"}}, "static_resources": {"clusters": [{"name": "more"}]}},
    )
    assert (out.stats_flush_interval.seconds, out.stats_flush_interval.nanos) == (0, 500_000_000)
    assert out.stats_config.stats_matcher.inclusion_list.patterns[-1].prefix == "mine"
    assert not out.stats_config.use_all_default_tags.value
    assert out.node.metadata["OWNER"] == "me"
    assert out.node.metadata["NAME"] == "a"
    assert [one.name for one in out.static_resources.clusters][-1] == "more"


def test_what_excludes_something_else_takes_its_place() -> None:
    out = made({"stats_config": {"stats_matcher": {"reject_all": True}}})
    assert out.stats_config.stats_matcher.WhichOneof("stats_matcher") == "reject_all"


@pytest.mark.parametrize(
    "value",
    [
        {"node": {"id": "another"}},
        {"admin": {"address": {"socket_address": {"address": "0.0.0.0", "port_value": 15000}}}},
        {"dynamic_resources": {"cds_config": {"path_config_source": {"path": "/a"}}}},
        {"static_resources": {"clusters": [{"name": "agent"}]}},
    ],
)
def test_what_the_agent_needs_cannot_be_taken_from_it(value: dict[str, Any]) -> None:
    with pytest.raises(Unfit, match="by which the agent looks after its proxy"):
        made(value)


def test_what_is_no_bootstrap_is_said() -> None:
    with pytest.raises(Unfit, match="is no bootstrap"):
        merged(CONFIG, [BootstrapPatch(namespace="a", name="b", index=0, value=b"\xff")])


async def test_envoy_judges_and_the_bad_one_alone_is_left_out(tmp_path: Path) -> None:
    good = patch({"stats_flush_interval": "5s"}, "good")
    broken = patch({"static_resources": {"clusters": [{"name": "x", "type": "EDS"}]}}, "broken", 1)
    stolen = patch({"node": {"id": "another"}}, "stolen", 2)
    later = patch({"node": {"metadata": {"A": "b"}}}, "later")
    start = ProxyStart(patches=(good, broken, stolen, later))
    accepted, refused = await judge(CONFIG, start, tmp_path)
    assert accepted == (good, later)
    assert [(one.name, one.index) for one in refused] == [("broken", 1), ("stolen", 2)]
    assert refused[0].message.startswith("Envoy refuses it: ")
    assert "EDS" in refused[0].message
    assert str(tmp_path) not in refused[0].message
    assert not list(tmp_path.glob("*"))  # noqa: ASYNC240


async def test_what_all_are_accepted_of_is_judged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def validated(command: list[str], data: bytes, trial: Path) -> str:
        commands.append(command)
        return ""

    monkeypatch.setattr(bootstrap_patches, "_validated", validated)
    patches = (patch({"stats_flush_interval": "7s"}), patch({"stats_flush_interval": "8s"}))
    assert await judge(CONFIG, ProxyStart(patches=patches), tmp_path) == (patches, ())
    assert len(commands) == 1
    assert await judge(CONFIG, ProxyStart(), tmp_path) == ((), ())
    assert len(commands) == 1
