"""What EnvoyFilters change in a bootstrap: merged into what the agent writes, and tried before Envoy starts with it.

Rules: a patch that cannot be, or with which Envoy does not accept the bootstrap, is left out and told; the others hold.
What the agent looks after its Envoy by stays: the node's id, the admin interface, where configuration comes from.
Facts: Istio merges as protobuf does (MERGE alone); durations and wrappers are values and are replaced. Envoy reads a
file that ends in `.pb` as a serialised Bootstrap. Envoy's messages are imported where there is a patch, and not before.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from argosy.agent.bootstrap import AGENT_CLUSTER, arguments, envoy_binary
from argosy.runtime.log import logger
from argosy.xds.start import BootstrapPatch, ProxyStart, RefusedPatch

VALIDATE_SECONDS = 60.0
_TYPES = (  # of what the agent itself writes
    "envoy.extensions.bootstrap.internal_listener.v3.internal_listener_pb2",
    "envoy.extensions.resource_monitors.downstream_connections.v3.downstream_connections_pb2",
    "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
    "envoy.config.metrics.v3.metrics_service_pb2",
    "envoy.config.metrics.v3.stats_pb2",
)
_PREFIX = re.compile(r"^.* error initializing config(?:uration)? '[^']*': ?")
_VALUES = ("Any", "Duration", "Timestamp")

log = logger("agent")


class Unfit(ValueError):
    """A patch that cannot be."""


def merged(config: dict[str, Any], patches: Sequence[BootstrapPatch]) -> bytes:
    """The bootstrap with the patches in it, serialised. Raises Unfit."""
    for module in _TYPES:
        import_module(module)
    kind: Any = import_module("envoy.config.bootstrap.v3.bootstrap_pb2").Bootstrap
    out: Message = json_format.ParseDict(config, kind())
    before = _own(out)
    for one in patches:
        try:
            patch = kind.FromString(one.value)
        except DecodeError as error:
            raise Unfit(f"is no bootstrap: {error}") from error
        _merge(out, patch)
    if _own(out) != before:
        raise Unfit(
            "changes the node's id, the admin interface, the agent's cluster or where configuration comes from, by "
            "which the agent looks after its proxy: leave them out"
        )
    return out.SerializeToString(deterministic=True)


def _own(config: Any) -> tuple[object, ...]:
    clusters = [one for one in config.static_resources.clusters if one.name == AGENT_CLUSTER]
    own = (config.admin, config.dynamic_resources, *clusters)
    return (config.node.id, *(one.SerializeToString(deterministic=True) for one in own))


def _merge(into: Message, more: Message) -> None:
    _clear_values(into, more)
    into.MergeFrom(more)


def _clear_values(into: Message, more: Message) -> None:
    """A value is replaced: protobuf's own merge would add up its parts."""
    for field, given in more.ListFields():
        if field.is_repeated or field.message_type is None:
            continue
        name = field.message_type.full_name.removeprefix("google.protobuf.")
        if name in _VALUES or name.endswith("Value"):
            into.ClearField(field.name)
        elif into.HasField(field.name):
            _clear_values(getattr(into, field.name), given)


async def judge(
    config: dict[str, Any], start: ProxyStart, folder: Path
) -> tuple[tuple[BootstrapPatch, ...], tuple[RefusedPatch, ...]]:
    """Of the patches of `start` those that Envoy accepts, in order, and the others with what is wrong with them."""
    trial = folder / "trial.pb"
    if not start.patches or not await _problem(config, start.patches, start, trial):
        return start.patches, ()
    good: tuple[BootstrapPatch, ...] = ()
    refused: list[RefusedPatch] = []
    for one in start.patches:
        if problem := await _problem(config, (*good, one), start, trial):
            log.warning("bootstrap patch left out", filter=f"{one.namespace}/{one.name}", reason=problem)
            refused.append(
                RefusedPatch(namespace=one.namespace, name=one.name, index=one.index, message=problem)
            )
        else:
            good = (*good, one)
    return good, tuple(refused)


async def _problem(
    config: dict[str, Any], patches: Sequence[BootstrapPatch], start: ProxyStart, trial: Path
) -> str:
    try:
        data = merged(config, patches)
    except Unfit as unfit:
        return str(unfit)
    command = [*arguments(envoy_binary(), trial, start), "--mode", "validate"]
    return await asyncio.to_thread(_validated, command, data, trial)


def _validated(command: list[str], data: bytes, trial: Path) -> str:
    trial.write_bytes(data)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VALIDATE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"Envoy does not judge it within {VALIDATE_SECONDS:.0f} s"
    finally:
        trial.unlink(missing_ok=True)
    if done.returncode == 0:
        return ""
    lines = (done.stderr + done.stdout).strip().splitlines()
    said = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")
    words = _PREFIX.sub("", said).strip()
    return f"Envoy refuses it: {words[:500] or f'exit status {done.returncode}'}"
