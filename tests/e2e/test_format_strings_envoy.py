"""The variables that validation knows are those of Envoy: each of them is taken, and what validation refuses is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argosy.resources.semantics import format_strings
from argosy.resources.semantics.format_strings import ALONE, EITHER, WITH
from tests.e2e.translate_envoy import validate

pytestmark = pytest.mark.e2e

PARAMETERS = {
    "COALESCE": '{"operators": ["PROTOCOL"]}',
    "COMMON_DURATION": "DS_RX_BEG:DS_RX_END",
    "METADATA": "ROUTE:a",
}
HTTP = "type.googleapis.com/envoy.extensions.filters"


def listener(*values: str) -> dict[str, list[dict[str, Any]]]:
    added = [{"header": {"key": f"x-{number}", "value": value}} for number, value in enumerate(values)]
    router = {"name": "router", "typed_config": {"@type": f"{HTTP}.http.router.v3.Router"}}
    manager = {
        "@type": f"{HTTP}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "a",
        "route_config": {"request_headers_to_add": added},
        "http_filters": [router],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
    chains = [{"filters": [{"name": "manager", "typed_config": manager}]}]
    made = {"name": "a", "address": address, "filter_chains": chains}
    return {"listeners": [made], "routes": [], "clusters": [], "endpoints": []}


def test_envoy_has_every_variable(tmp_path: Path) -> None:
    values = [f"%{name}%" for name in sorted(ALONE | EITHER)]
    values += [f"%{name}({PARAMETERS.get(name, 'a')})%" for name in sorted(WITH)]
    assert [value for value in values if format_strings.in_header(value)] == []
    validate(listener(*values), tmp_path)


@pytest.mark.parametrize("value", ["%NOBODY%", "%REQ%", "%PROTOCOL(a)%", "50%", "%", "%REQ(%", "a\nb"])
def test_what_is_refused_envoy_refuses(value: str, tmp_path: Path) -> None:
    assert format_strings.in_header(value) is not None
    with pytest.raises(AssertionError, match="error initializing configuration"):
        validate(listener(value), tmp_path)
