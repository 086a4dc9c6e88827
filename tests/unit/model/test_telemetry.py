"""Telemetry: which objects hold for a proxy, and what comes of several."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from argosy.model import lower_providers
from argosy.model.facts import Fact, FactKind
from argosy.model.metrics import METRICS, expression
from argosy.model.providers import Collector, Detector, FileLog, Sampler, ServiceLog, Tracer, TracerKind
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.model.telemetry import Side
from tests.unit.model.written import mesh_config, obj, scope, snapshot

PROVIDERS = """
extensionProviders:
- {name: one, envoyFileAccessLog: {path: /one, logFormat: {labels: {a: "%PROTOCOL%"}}}}
- {name: two, envoyFileAccessLog: {path: /two, logFormat: {text: "%PROTOCOL%"}}}
- {name: als, envoyHttpAls: {service: shop/als.example, port: 9000}}
- {name: broken, envoyHttpAls: {service: als.example, port: many}}
- {name: zipkin, zipkin: {service: zipkin.example, port: 9411}}
- {name: otel, opentelemetry: {service: otel.example, port: 4318, maxTagLength: 9, http: {path: /v1, timeout: 1s}}}
"""


def mesh(*telemetry: str, settings: str = "") -> Snapshot:
    """Each: the `namespace/name` of a Telemetry, and its spec as YAML."""
    objects = []
    for created, text in enumerate(telemetry):
        name, _, spec = text.partition(" ")
        objects.append(obj("Telemetry", name, spec, created=f"2026-01-01T00:00:0{created}Z"))
    return snapshot(mesh_config(PROVIDERS + settings), *objects)


def paths(made: Snapshot, by: Scope, side: Side = Side.CLIENT) -> list[tuple[str, str]]:
    """(where a log goes, of which requests)."""
    found = []
    for log in Reader(made).telemetry(by, side).logs:
        to = log.to.path if isinstance(log.to, FileLog) else log.to.to.host
        found.append((to, log.expression))
    return found


ROOT, NAMESPACE = "istio-system/root", "default/all"
ONE, TWO = "{accessLogging: [{providers: [{name: one}]}]}", "{accessLogging: [{providers: [{name: two}]}]}"
OWN = "selector: {matchLabels: {app: web}}"


@pytest.mark.parametrize(
    ("telemetry", "settings", "logs"),
    [
        ((), "", []),
        ((), "accessLogFile: /mesh", [("/mesh", "")]),
        ((), "accessLogFile: /mesh\ndefaultProviders: {accessLogging: [two]}", [("/two", "")]),
        ((f"{ROOT} {ONE}",), "", [("/one", "")]),
        ((f"{ROOT} {ONE}", f"{NAMESPACE} {TWO}"), "", [("/two", "")]),
        ((f"shop/all {TWO}",), "", []),
        ((f"{NAMESPACE} {ONE}", f"default/younger {TWO}"), "", [("/one", "")]),
        (
            (f"{ROOT} {ONE}", f"default/own {{{OWN}, accessLogging: [{{providers: [{{name: two}}]}}]}}"),
            "",
            [("/two", "")],
        ),
        ((f"{ROOT} {ONE}", f"{NAMESPACE} {{accessLogging: [{{disabled: true}}]}}"), "", []),
        (
            (f"{ROOT} {ONE}", f"{NAMESPACE} {{accessLogging: [{{filter: {{expression: a}}}}]}}"),
            "",
            [("/one", "a")],
        ),
        ((f"{NAMESPACE} {{accessLogging: [{{disabled: true}}]}}",), "accessLogFile: /mesh", []),
        ((f"{NAMESPACE} {{accessLogging: [{{providers: [{{name: envoy}}]}}]}}",), "", [("/dev/stdout", "")]),
        ((f"{NAMESPACE} {{accessLogging: [{{providers: [{{name: als}}]}}]}}",), "", [("als.example", "")]),
        ((f"{NAMESPACE} {{accessLogging: [{{providers: [{{name: broken}}]}}]}}",), "", []),
        (
            (
                f"{NAMESPACE} {{accessLogging: [{{providers: [{{name: one}}]}}, {{providers: [{{name: two}}]}}]}}",
            ),
            "",
            [("/one", ""), ("/two", "")],
        ),
        (
            (f"{NAMESPACE} {{accessLogging: [{{match: {{mode: SERVER}}, providers: [{{name: one}}]}}]}}",),
            "",
            [],
        ),
    ],
)
def test_logs_of_a_client(telemetry: tuple[str, ...], settings: str, logs: list[tuple[str, str]]) -> None:
    made = mesh(*telemetry, settings=settings)
    assert paths(made, scope(made, "default", app="web")) == logs


def test_the_side_of_a_request_decides() -> None:
    made = mesh(
        f"{NAMESPACE} {{accessLogging: [{{providers: [{{name: one}}]}}, "
        "{match: {mode: SERVER}, disabled: true, providers: [{name: one}]}]}"
    )
    web = scope(made, "default", app="web")
    assert (paths(made, web), paths(made, web, Side.SERVER)) == ([("/one", "")], [])


def test_a_selector_is_for_its_namespace_and_a_reference_for_the_proxies_of_a_gateway() -> None:
    made = mesh(
        f"default/own {{{OWN}, accessLogging: [{{providers: [{{name: one}}]}}]}}",
        "default/edge {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}], "
        "accessLogging: [{providers: [{name: two}]}]}",
        "default/service {targetRefs: [{group: '', kind: Service, name: a}], "
        "accessLogging: [{providers: [{name: als}]}]}",
    )
    assert paths(made, scope(made, "default", app="web")) == [("/one", "")]
    assert paths(made, scope(made, "shop", app="web")) == paths(made, scope(made, "default")) == []
    labels = {"gateway.networking.k8s.io/gateway-name": "edge"}
    assert paths(made, scope(made, "default", ProxyType.ROUTER, **labels)) == [("/two", "")]


@pytest.mark.parametrize(
    ("telemetry", "settings", "traced"),
    [
        ((), "", None),
        ((), "enableTracing: true", None),
        ((), "defaultProviders: {tracing: [zipkin]}", ("zipkin.example", 1.0, None)),
        (
            (),
            "defaultProviders: {tracing: [otel]}\ndefaultConfig: {tracing: {sampling: 50, maxPathTagLength: 7}}",
            ("otel.example", 50.0, 9),
        ),
        (("{tracing: [{providers: [{name: zipkin}]}]}",), "", ("zipkin.example", 1.0, None)),
        (("{tracing: [{randomSamplingPercentage: 5}]}",), "", None),
        (
            ("{tracing: [{randomSamplingPercentage: 0}]}",),
            "defaultProviders: {tracing: [zipkin]}",
            ("zipkin.example", 0.0, None),
        ),
        (("{tracing: [{disableSpanReporting: true}]}",), "defaultProviders: {tracing: [zipkin]}", None),
        (("{tracing: [{match: {mode: SERVER}, providers: [{name: zipkin}]}]}",), "", None),
        (("{tracing: [{providers: [{name: one}]}]}",), "", None),
        (
            ("{tracing: [{providers: [{name: zipkin}]}]}", "{tracing: [{randomSamplingPercentage: 7}]}"),
            "",
            ("zipkin.example", 7.0, None),
        ),
    ],
)
def test_tracing_of_a_client(telemetry: tuple[str, ...], settings: str, traced: Any) -> None:
    names = (ROOT, NAMESPACE)
    made = mesh(*(f"{name} {spec}" for name, spec in zip(names, telemetry, strict=False)), settings=settings)
    found = Reader(made).telemetry(scope(made, "default"), Side.CLIENT).tracing
    assert (found and (found.to.to.host, found.sampling, found.max_tag_length)) == traced


@pytest.mark.parametrize(
    ("overrides", "silent"),
    [
        ([{}], ()),
        ([{"disabled": True}], METRICS),
        ([{"match": {"metric": "REQUEST_COUNT"}, "disabled": True}], ("REQUEST_COUNT",)),
        ([{"match": {"metric": "REQUEST_COUNT", "mode": "SERVER"}, "disabled": True}], ()),
        (
            [{"disabled": True}, {"match": {"metric": "REQUEST_COUNT"}, "disabled": False}],
            tuple(one for one in METRICS if one != "REQUEST_COUNT"),
        ),
        ([{"match": {"customMetric": "mine"}, "disabled": True}], ()),
    ],
)
def test_metrics_that_are_not_reported(overrides: list[Any], silent: tuple[str, ...]) -> None:
    made = mesh(f"{NAMESPACE} " + yaml.safe_dump({"metrics": [{"overrides": overrides}]}))
    assert Reader(made).telemetry(scope(made, "default"), Side.CLIENT).metrics.silent == tuple(sorted(silent))


@pytest.mark.parametrize(
    ("metrics", "metric", "tags"),
    [
        (
            [{"overrides": [{"tagOverrides": {"a": {"value": "request.host"}}}]}],
            "REQUEST_SIZE",
            (("a", "request.host"),),
        ),
        (
            [
                {
                    "overrides": [
                        {"match": {"metric": "REQUEST_COUNT"}, "tagOverrides": {"a": {"value": "x.y"}}}
                    ]
                }
            ],
            "REQUEST_SIZE",
            (),
        ),
        (
            [
                {
                    "overrides": [
                        {"tagOverrides": {"a": {"value": "x.y"}, "b": {"operation": "REMOVE"}}},
                        {
                            "match": {"customMetric": "requests_total"},
                            "tagOverrides": {"a": {"operation": "REMOVE"}},
                        },
                    ]
                }
            ],
            "REQUEST_COUNT",
            (("a", ""), ("b", "")),
        ),
        (
            [{"overrides": [{"match": {"mode": "SERVER"}, "tagOverrides": {"a": {"value": "x.y"}}}]}],
            "REQUEST_COUNT",
            (),
        ),
        (
            [{"providers": [{"name": "other"}], "overrides": [{"tagOverrides": {"a": {"value": "x.y"}}}]}],
            "REQUEST_COUNT",
            (),
        ),
        (  # What Envoy could not make is left out, with the rest in force.
            [
                {
                    "overrides": [
                        {"tagOverrides": {"a": {"value": "x.split('/')"}, "b": {"value": "string(x.y)"}}}
                    ]
                }
            ],
            "REQUEST_COUNT",
            (("b", "x.y"),),
        ),
    ],
)
def test_tags_of_metrics(metrics: list[Any], metric: str, tags: tuple[tuple[str, str], ...]) -> None:
    made = mesh(f"{NAMESPACE} " + yaml.safe_dump({"metrics": metrics}, width=1000))
    assert Reader(made).telemetry(scope(made, "default"), Side.CLIENT).metrics.tags_of(metric) == tags


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("node.metadata['MESH_ID']", "xds.node.metadata['MESH_ID']"),
        ("xds.node.id + 'node.id'", "xds.node.id + 'node.id'"),
        ("size(request.path)%2 == 0 ?\n 'a' : 'b'", "size(request.path) %2 == 0 ?  'a' : 'b'"),
    ],
)
def test_expressions_as_envoys_formatter_takes_them(text: str, made: str) -> None:
    assert expression(text) == made


@pytest.mark.parametrize(
    ("settings", "telemetry", "traced"),
    [
        ("defaultConfig: {tracing: {zipkin: {address: 'z.ops:9411'}}}", "", ("z.ops", 9411, True)),
        (
            "enableTracing: true\ndefaultConfig: {tracing: {datadog: {address: 'd:8126'}, enableIstioTags: false}}",
            "",
            ("d", 8126, False),
        ),
        ("enableTracing: false\ndefaultConfig: {tracing: {zipkin: {address: 'z:9411'}}}", "", None),
        ("defaultConfig: {tracing: {sampling: 5}}", "", None),
        (
            "defaultConfig: {tracing: {zipkin: {address: 'z:9411'}}}",
            "{tracing: [{providers: [{name: zipkin}], enableIstioTags: false}]}",
            ("zipkin.example", 9411, False),
        ),
        (
            "defaultConfig: {tracing: {zipkin: {address: 'z:9411'}}}",
            "{tracing: [{disableSpanReporting: true}]}",
            None,
        ),
    ],
)
def test_the_collector_of_the_default_configuration(settings: str, telemetry: str, traced: Any) -> None:
    made = mesh(*((f"{NAMESPACE} {telemetry}",) if telemetry else ()), settings=settings)
    found = Reader(made).telemetry(scope(made, "default"), Side.CLIENT).tracing
    assert (found and (found.to.to.host, found.to.to.port, found.own_tags)) == traced


def test_tags_of_the_default_configuration_hold_until_a_telemetry_has_its_own() -> None:
    settings = "defaultProviders: {tracing: [zipkin]}\n"
    settings += "defaultConfig: {tracing: {customTags: {a: {literal: {value: b}}}}}"

    def tags(*telemetry: str) -> list[str]:
        made = mesh(*telemetry, settings=settings)
        found = Reader(made).telemetry(scope(made, "default"), Side.CLIENT).tracing
        assert found is not None
        return [one.name for one in found.tags]

    assert tags() == ["a"]
    assert tags(f"{NAMESPACE} {{tracing: [{{customTags: {{c: {{literal: {{value: d}}}}}}}}]}}") == ["c"]


def test_providers_read_all_that_they_say() -> None:
    written = """
    - {name: kin, zipkin: {service: z, port: 1, traceContextOption: USE_B3_WITH_W3C_PROPAGATION, timeout: 2s,
        headers: [{name: a, envName: TOKEN}, {name: b, value: c}, {name: d, envName: NOBODY}]}}
    - {name: walk, skywalking: {service: w, port: 2, accessToken: t}}
    - {name: otel, opentelemetry: {service: o, port: 3, http: {path: /v1, timeout: 4s, headers: [{name: a, value: b}]},
        resourceDetectors: {environment: {}}, dynatraceSampler: {tenant: t, clusterId: 5, rootSpansPerMinute: 6}}}
    - {name: own, opentelemetry: {service: o, port: 3, grpc: {initialMetadata: [{name: a, envName: TOKEN}]},
        dynatraceSampler: {tenant: t, clusterId: 5, httpService: {service: ns/dt, port: 443, http: {path: /s}}}}}
    - {name: nobody, opentelemetry: {service: o, port: 3, dynatraceSampler: {tenant: t, clusterId: 5}}}
    """
    found = dict(lower_providers.lower(yaml.safe_load(written), {"TOKEN": "secret"}))
    kin, walk, otel, own = found["kin"], found["walk"], found["otel"], found["own"]
    assert isinstance(kin, Tracer)
    assert isinstance(walk, Tracer)
    assert isinstance(otel, Tracer)
    assert isinstance(own, Tracer)
    assert (kin.w3c, kin.timeout, kin.headers) == (True, 2000, (("a", "secret"), ("b", "c"), ("d", "")))
    assert (walk.kind, walk.token) == (TracerKind.SKYWALKING, "t")
    assert otel.detectors == (Detector.ENVIRONMENT,)
    assert otel.sampler == Sampler(
        to=otel.to,
        path="/api/v2/samplingConfiguration",
        tenant="t",
        cluster_id=5,
        root_spans=6,
        timeout=4000,
        headers=(("a", "b"),),
    )
    assert own.headers == (("a", "secret"),)
    assert own.sampler is not None
    assert (own.sampler.to, own.sampler.path) == (Collector("dt", 443), "/s")
    assert "nobody" not in found  # its sampler has nobody to ask


def test_a_change_tells_those_who_look_at_it() -> None:
    made = mesh()
    everyone = Fact(FactKind.TELEMETRY, "default")
    web = Fact(FactKind.TELEMETRY, "telemetry:default:app=web")
    assert made.put_config(obj("Telemetry", NAMESPACE, ONE)) == {everyone}
    assert made.put_config(obj("Telemetry", NAMESPACE, ONE)) == set()
    changed = made.put_config(obj("Telemetry", NAMESPACE, f"{{{OWN}}}"))
    assert changed == {everyone, web, Fact(FactKind.SELECTORS)}
    reader = Reader(made)
    reader.telemetry(scope(made, "default", app="web"), Side.CLIENT)
    assert {everyone, web, Fact(FactKind.TELEMETRY, "istio-system")} <= reader.facts
    assert made.contributors(web) == {("Telemetry", "default", "all")}
    assert made.remove_config("Telemetry", "default", "all") == {web, Fact(FactKind.SELECTORS)}


def test_services_that_take_logs_are_known_by_host() -> None:
    (log,) = (
        Reader(made := mesh(settings="defaultProviders: {accessLogging: [als]}"))
        .telemetry(scope(made, "default"), Side.CLIENT)
        .logs
    )
    assert isinstance(log.to, ServiceLog)
    assert (log.to.to.host, log.to.to.port, log.to.name) == ("als.example", 9000, "http_envoy_accesslog")
