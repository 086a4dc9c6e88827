"""EnvoyFilter: patches whose parts fit each other, and values that Envoy's own messages can hold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.networking.envoy_filter import ApplyTo
from argosy.resources.semantics import envoy_parts
from argosy.resources.validation import Verdict

Judge = Callable[..., Verdict]
Json = dict[str, Any]

MANAGER = "envoy.filters.network.http_connection_manager"
ROUTER = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
AT = "spec.configPatches[0]"
VALUE = f"{AT}.patch.value"
REMOVE = {"operation": "REMOVE"}


def patch(part: str, match: Json | None = None, **patch: Any) -> Json:
    one = {"applyTo": part, "patch": patch or REMOVE} | ({"match": match} if match is not None else {})
    return {"configPatches": [one]}


def adding(part: str, **value: Any) -> Json:
    return patch(part, operation="ADD", value=value)


def within(name: str = MANAGER, /, **sub: Any) -> Json:
    """A match of a filter in a listener."""
    return {"listener": {"filterChain": {"filter": {"name": name} | ({"subFilter": sub} if sub else {})}}}


def waypoint(**fields: Any) -> Json:
    return {"context": "WAYPOINT", "waypoint": fields}


VALID: list[Json] = [
    {},
    {"workloadSelector": {"labels": {"app": "a"}}, "priority": -10},
    {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "a"}]},
    patch("LISTENER", {"listener": {"portNumber": 80, "name": "a"}}),
    patch("HTTP_FILTER", within(name="envoy.filters.http.router")),
    patch("NETWORK_FILTER", within("envoy.filters.network.tcp_proxy")),
    patch("HTTP_ROUTE", {"routeConfiguration": {"vhost": {"name": "a:80", "route": {"action": "ROUTE"}}}}),
    patch("CLUSTER", {"context": "GATEWAY", "cluster": {"service": "a.com"}}),
    {
        "configPatches": [
            {
                "applyTo": "BOOTSTRAP",
                "match": {"proxy": {"proxyVersion": r"^1\.2.*", "metadata": {"a": "b"}}},
                "patch": {"operation": "MERGE", "value": {"stats_flush_interval": "1s"}},
            }
        ]
    },
    patch("HTTP_FILTER", waypoint(filter={"name": MANAGER, "subFilter": {"name": "a"}})),
    patch("CLUSTER", waypoint(portNumber=80)),
    patch("HTTP_ROUTE", waypoint(route={"name": "a"})),
    adding("CLUSTER", name="a", connect_timeout="1s", lbPolicy="RANDOM"),
    adding("CLUSTER", name="a", dns_refresh_rate="500ms"),
    adding("CLUSTER", name="a", connect_timeout=None),
    adding("HTTP_FILTER", name="a", typed_config=ROUTER | {"suppress_envoy_headers": True}),
    adding("HTTP_FILTER", name="a", config_discovery={"type_urls": ["a"]}),
    adding(
        "HTTP_FILTER",
        name="a",
        typedConfig={
            "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
            "type_url": "type.googleapis.com/of.another.v9.Thing",
            "value": {"@type": "of nobody", "deep": [1, {"a": None}]},
        },
    ),
    adding("EXTENSION_CONFIG", name="a", typed_config={"@type": "/google.protobuf.Duration", "value": "1s"}),
    adding("VIRTUAL_HOST", name="a", typed_per_filter_config={"a": ROUTER}),
]

REFUSED: list[tuple[Json, str]] = [
    ({"workloadSelector": {"labels": {"a": "*"}}}, "spec.workloadSelector.labels"),
    ({"targetRefs": [{"kind": "Deployment", "group": "apps", "name": "a"}]}, "spec.targetRefs[0].kind"),
    (
        {"workloadSelector": {"labels": {"a": "b"}}, "targetRefs": [{"kind": "Service", "name": "a"}]},
        "spec.targetRefs",
    ),
    ({"configPatches": [{}]}, f"{AT}.applyTo"),
    ({"configPatches": [{"applyTo": "CLUSTER"}]}, f"{AT}.patch"),
    (patch("CLUSTER", value={}), f"{AT}.patch.operation"),
    (patch("CLUSTER", operation="MERGE"), VALUE),
    (patch("CLUSTER", operation="MERGE", value="text"), VALUE),
    (patch("SOMETHING"), f"{AT}.applyTo"),
    (patch("LISTENER", {"context": "SOME"}), f"{AT}.match.context"),
    (patch("LISTENER", {"proxy": {"proxyVersion": "a++"}}), f"{AT}.match.proxy.proxyVersion"),
    (patch("LISTENER", {"cluster": {}}), f"{AT}.match.cluster"),
    (patch("VIRTUAL_HOST", {"listener": {}}), f"{AT}.match.listener"),
    (patch("CLUSTER", {"routeConfiguration": {}}), f"{AT}.match.routeConfiguration"),
    (patch("CLUSTER", {"cluster": {}, "listener": {}}), f"{AT}.match"),
    (patch("NETWORK_FILTER", within("")), f"{AT}.match.listener.filterChain.filter.name"),
    (patch("NETWORK_FILTER", within(name="a")), f"{AT}.match.listener.filterChain.filter.subFilter"),
    (patch("HTTP_FILTER", within("x", name="a")), f"{AT}.match.listener.filterChain.filter.name"),
    (patch("HTTP_FILTER", within(name="")), f"{AT}.match.listener.filterChain.filter.subFilter.name"),
    *(
        (patch(part, waypoint()), f"{AT}.match.context")
        for part in ("LISTENER", "LISTENER_FILTER", "BOOTSTRAP", "EXTENSION_CONFIG")
    ),
    (patch("CLUSTER", {"context": "WAYPOINT"}), f"{AT}.match.waypoint"),
    (patch("CLUSTER", {"waypoint": {}}), f"{AT}.match.waypoint"),
    (patch("CLUSTER", waypoint(portNumber=0)), f"{AT}.match.waypoint.portNumber"),
    (patch("CLUSTER", waypoint(filter={"name": "a"})), f"{AT}.match.waypoint.filter"),
    (patch("CLUSTER", waypoint(route={"name": "a"})), f"{AT}.match.waypoint.route"),
    (patch("HTTP_ROUTE", waypoint(filter={"name": "a"})), f"{AT}.match.waypoint.filter"),
    (patch("NETWORK_FILTER", waypoint(filter={})), f"{AT}.match.waypoint.filter.name"),
    (adding("CLUSTER", name=False), VALUE),
    (adding("CLUSTER", name=["a"]), VALUE),
    (adding("CLUSTER", load_assignment="a"), f"{VALUE}.load_assignment"),
    (adding("CLUSTER", connect_timeout="soon"), VALUE),
    (adding("ROUTE_CONFIGURATION", virtual_hosts={"a": 1}), VALUE),
    (adding("HTTP_FILTER", name="a", typed_config=ROUTER | {"start_child_span": "x"}), VALUE),
    (adding("HTTP_FILTER", name="a", typed_config={"@type": "/google.protobuf.Duration"}), VALUE),
    (adding("HTTP_FILTER", name="a", typed_config={"a": 1}), f"{VALUE}.typed_config['@type']"),
    (adding("HTTP_FILTER", name="a", typed_config={"@type": 1}), f"{VALUE}.typed_config['@type']"),
    (
        adding("HTTP_FILTER", name="a", typed_config={"@type": "type.googleapis.com/os.path"}),
        f"{VALUE}.typed_config['@type']",
    ),
    (
        adding("HTTP_FILTER", name="a", typed_config={"@type": "a/envoy.config.filter.http.lua.v2.Lua"}),
        f"{VALUE}.typed_config['@type']",
    ),
    (
        adding(
            "HTTP_FILTER",
            name="a",
            typed_config={"@type": "a/envoy.extensions.filters.http.router.v3.Nothing"},
        ),
        f"{VALUE}.typed_config['@type']",
    ),
    (
        adding("VIRTUAL_HOST", routes=[{"typed_per_filter_config": {"a": {"@type": "b"}}}]),
        f"{VALUE}.routes[0].typed_per_filter_config.a['@type']",
    ),
]

WARNED: list[tuple[Json, str]] = [
    ({"workloadSelector": {}}, "spec.workloadSelector.labels"),
    (patch("LISTENER", within()), f"{AT}.match.listener.filterChain.filter"),
    (patch("NETWORK_FILTER", within("envoy.tcp_proxy")), f"{AT}.match.listener.filterChain.filter.name"),
    (
        patch("HTTP_FILTER", within(name="envoy.router")),
        f"{AT}.match.listener.filterChain.filter.subFilter.name",
    ),
    (adding("CLUSTER", name="a", nothing_such=1), f"{VALUE}.nothing_such"),
    (
        adding("CLUSTER", load_assignment={"endpoints": [{"odd": 1}]}),
        f"{VALUE}.load_assignment.endpoints[0].odd",
    ),
    (adding("CLUSTER", type="NEW_KIND"), f"{VALUE}.type"),
    (patch("ROUTE_CONFIGURATION", operation="ADD", value={"name": "a"}), f"{AT}.patch.operation"),
    (patch("HTTP_ROUTE", operation="REPLACE", value={"name": "a"}), f"{AT}.patch.operation"),
    (patch("CLUSTER", operation="REMOVE", filterClass="AUTHZ"), f"{AT}.patch.filterClass"),
    (patch("HTTP_FILTER", within()), f"{AT}.match.listener.filterChain.filter.subFilter"),
    (patch("NETWORK_FILTER"), f"{AT}.match.listener.filterChain.filter"),
    (patch("LISTENER_FILTER"), f"{AT}.match.listener.listenerFilter"),
    (
        patch("HTTP_FILTER", within(name="istio.stats")),
        f"{AT}.match.listener.filterChain.filter.subFilter.name",
    ),
    (adding("HTTP_FILTER", name="envoy.filters.http.lua"), f"{VALUE}.typed_config"),
    (
        adding("HTTP_FILTER", name="a", typed_config={"@type": "a/envoy.extensions.filters.http.new.v3.New"}),
        f"{VALUE}.typed_config['@type']",
    ),
]


@pytest.mark.parametrize("spec", VALID)
def test_what_istio_takes_is_valid(judge: Judge, spec: Json) -> None:
    verdict = judge("EnvoyFilter", spec)
    assert verdict.errors == verdict.warnings == ()


@pytest.mark.parametrize(("spec", "field"), REFUSED)
def test_what_cannot_be_is_refused_at_its_field(judge: Judge, spec: Json, field: str) -> None:
    assert field in [problem.field for problem in judge("EnvoyFilter", spec).errors]


@pytest.mark.parametrize(("spec", "field"), WARNED)
def test_what_envoy_may_not_know_is_warned_of(judge: Judge, spec: Json, field: str) -> None:
    verdict = judge("EnvoyFilter", spec)
    assert verdict.errors == ()
    assert [problem.field for problem in verdict.warnings] == [field]


@pytest.mark.parametrize("part", [part for part in ApplyTo if part != ApplyTo.INVALID])
def test_every_part_has_its_message(judge: Judge, part: ApplyTo) -> None:
    verdict = judge("EnvoyFilter", patch(part, operation="MERGE", value={"no_field_of_any": 1}))
    assert verdict.errors == ()
    assert f"{VALUE}.no_field_of_any" in [problem.field for problem in verdict.warnings]


@pytest.mark.parametrize(
    "name",
    [
        "envoy._main.v3.Main",
        "os.v3.X",
        "argosy.cli.v3.Main",
        "envoy..v3.X",
        "envoy.v3",
        "",
        "x" * 5000,
        "a\0.v3.B",
    ],
)
def test_the_name_of_a_type_imports_nothing_else(judge: Judge, name: str) -> None:
    before = set(sys.modules)
    verdict = judge("EnvoyFilter", adding("HTTP_FILTER", name="a", typed_config={"@type": f"a/{name}"}))
    assert [problem.field for problem in verdict.errors] == [f"{VALUE}.typed_config['@type']"]
    assert all(len(problem.message) < 400 for problem in verdict.errors)
    new = {
        module for module in set(sys.modules) - before if not module.startswith(("envoy.", "google.", "xds."))
    }
    assert {module for module in new if "main" in module or module.startswith(("os", "argosy.cli"))} == set()


def test_old_names_of_filters_have_new_ones() -> None:
    assert envoy_parts.NEW_NAMES["envoy.tcp_proxy"] == "envoy.filters.network.tcp_proxy"
    assert envoy_parts.NEW_NAMES["envoy.router"] == "envoy.filters.http.router"
    assert envoy_parts.NEW_NAMES["envoy.listener.tls_inspector"] == "envoy.filters.listener.tls_inspector"
    assert envoy_parts.renamed("envoy.filters.http.router") is None
