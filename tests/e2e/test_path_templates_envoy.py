"""Every template of a path that is let in is one that real Envoy takes: it aborts on what it cannot read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random

import pytest

from argosy.resources.semantics import path_templates
from tests.e2e.translate_envoy import ENVOY, bootstrap

pytestmark = pytest.mark.e2e

PIECES = (
    "/",
    "/",
    "/",
    "a",
    "b.c",
    "{*}",
    "{*}",
    "{**}",
    "%20",
    "%",
    "é",
    "?",
    " ",
    "_~!$&'()+,;:@=",
    "-",
    "[",
    "//",
)
RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
TEMPLATE = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def accepted(count: int) -> list[str]:
    random = Random(7)
    found: dict[str, None] = {}
    while len(found) < count:
        path = "/" + "".join(random.choices(PIECES, k=random.randint(1, 9)))
        if path_templates.is_template(path) and path_templates.problem(path) is None:
            found[path] = None
    return list(found)


def test_envoy_takes_every_template_that_is_let_in(tmp_path: Path) -> None:
    permissions = []
    for path in accepted(1500):
        config = {"@type": TEMPLATE, "path_template": path.replace("{**}", "**").replace("{*}", "*")}
        permissions.append({"uri_template": {"name": "uri-template", "typed_config": config}})
    policy = {"permissions": permissions, "principals": [{"any": True}]}
    rbac = {"@type": RBAC, "rules": {"policies": {"a": policy}}}
    manager = {
        "@type": MANAGER,
        "stat_prefix": "a",
        "route_config": {},
        "http_filters": [
            {"name": "rbac", "typed_config": rbac},
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ],
    }
    listener = {
        "name": "a",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }
    file = tmp_path / "bootstrap.json"
    file.write_text(json.dumps(bootstrap(tmp_path, {"listeners": [listener]})))
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", file, "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
