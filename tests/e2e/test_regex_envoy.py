"""What we take for a regular expression is one to Envoy, and what we refuse it refuses: or one object would take the
routes of all others with it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.resources.semantics import regex
from tests.e2e.translate_envoy import ENVOY

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
MOST = {"re2.max_program_size.error_level": regex.MAX_PROGRAM}


def said(folder: Path, patterns: list[str]) -> str:
    """What Envoy has against any of them; "": nothing."""
    routes = [
        {"match": {"safe_regex": {"regex": one}}, "direct_response": {"status": 200}} for one in patterns
    ]
    manager = {
        "@type": HTTP,
        "stat_prefix": "x",
        "route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    listener = {
        "name": "x",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    path = folder / "bootstrap.json"
    path.write_text(
        json.dumps(
            {
                "node": {"id": "a", "cluster": "b"},
                "layered_runtime": {"layers": [{"name": "static", "static_layer": MOST}]},
                "static_resources": {"listeners": [listener]},
            }
        )
    )
    command = [str(ENVOY), "--mode", "validate", "-c", str(path), "--log-level", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stderr + done.stdout


PIECES = """
a b é 日 . ^ $ ( (?: (?i) (?P<n> ) | * + ? {2} {3,} {0,9} {31} {500} {1000} {1001} [a-z] [^é] [ ] - \\d \\pL \\PN / {
\\p{Greek} \\x41 \\x{e9} \\x{100} \\Q \\E \\b \\1 (?= [[:alpha:]] [é-z] [a-é] \\.
"""
PATTERN = st.lists(st.sampled_from(PIECES.split()), min_size=1, max_size=9).map("".join)


@settings(max_examples=12, deadline=None)
@given(patterns=st.lists(PATTERN, min_size=150, max_size=150))
def test_what_is_accepted_envoy_accepts(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str]
) -> None:
    taken = [one for one in patterns if regex.problem(one) is None]
    assert said(tmp_path_factory.mktemp("taken"), taken) == ""


@settings(max_examples=60, deadline=None)
@given(pattern=PATTERN.filter(lambda one: regex.problem(one) is not None))
def test_what_is_refused_envoy_refuses(tmp_path_factory: pytest.TempPathFactory, pattern: str) -> None:
    """But for programs that may be too large (how large they are only RE2 knows), and for names given twice, which
    Istio refuses (Go's regexp, which its validation asks) and Envoy's RE2 takes."""
    problem = regex.problem(pattern) or ""
    if "instructions" not in problem and "two groups" not in problem:
        assert said(tmp_path_factory.mktemp("refused"), [pattern]) != "", problem
