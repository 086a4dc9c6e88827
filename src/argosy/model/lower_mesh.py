"""Mesh settings: the `mesh` key of `ConfigMap istio-system/istio`, a MeshConfig in YAML, to `ir.Mesh`.

This text is the one place of the room where YAML is read. Facts (Istio: mesh/v1alpha1/config.proto): what is not
written keeps its default; fields that this control plane does not use are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import yaml

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.lower_http import milliseconds, retry_policy
from argosy.resources.core import ConfigMap
from argosy.resources.networking import HTTPRetry

NAMESPACE = "istio-system"
NAME = "istio"
KEY = "mesh"
FIELD = f"data.{KEY}"


def lower(obj: ConfigMap, defaults: ir.Mesh) -> ir.Mesh:
    """Raises LoweringError with the field (`data.mesh.connectTimeout`)."""
    text = obj.data.get(KEY, "")
    try:
        written = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LoweringError(FIELD, f"is not YAML: {' '.join(str(error).split())}") from error
    if written is None:
        return defaults
    if not isinstance(written, dict):
        raise LoweringError(FIELD, "is not a map of settings; write `name: value` lines")
    changes = {
        attribute: read(written[name], f"{FIELD}.{name}")
        for name, (attribute, read) in SETTINGS.items()
        if written.get(name) is not None
    }
    return msgspec.structs.replace(defaults, **changes)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise LoweringError(field, f"{value!r} is not a text")
    return value


def _name(value: Any, field: str) -> str:
    text = _text(value, field)
    if not text:
        raise LoweringError(field, "is empty; leave it out for the default")
    return text


def _duration(value: Any, field: str) -> int:
    found = milliseconds(_text(value, field), field)
    assert found is not None  # noqa: S101 a text is there
    return found


def _choice(choices: Mapping[str, bool]) -> Callable[[Any, str], bool]:
    def read(value: Any, field: str) -> bool:
        if value not in choices:
            raise LoweringError(field, f"{value!r} is not one of {', '.join(choices)}")
        return choices[value]

    return read


def _outbound(value: Any, field: str) -> bool:
    mode = value.get("mode", "ALLOW_ANY") if isinstance(value, dict) else value
    return _choice({"ALLOW_ANY": True, "REGISTRY_ONLY": False})(mode, f"{field}.mode")


def _retry(value: Any, field: str) -> ir.RetryPolicy | None:
    try:
        written = msgspec.convert(value, HTTPRetry)
    except msgspec.ValidationError as error:
        raise LoweringError(field, str(error)) from error
    policy = retry_policy(written, field)
    return policy if policy is not None and policy.attempts > 0 else None


SETTINGS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "trustDomain": ("trust_domain", _name),
    "rootNamespace": ("root_namespace", _name),
    "outboundTrafficPolicy": ("outbound_allow_any", _outbound),
    "h2UpgradePolicy": ("h2_upgrade", _choice({"DO_NOT_UPGRADE": False, "UPGRADE": True})),
    "connectTimeout": ("connect_timeout", _duration),
    "accessLogFile": ("access_log_file", _text),
    "accessLogEncoding": ("access_log_json", _choice({"TEXT": False, "JSON": True})),
    "defaultHttpRetryPolicy": ("default_retry", _retry),
}
"""MeshConfig field -> (attribute of `ir.Mesh`, how it is read)."""
