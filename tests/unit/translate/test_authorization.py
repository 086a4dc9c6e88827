"""Authorization on the wire: what each place holds, for HTTP and for bytes; listeners that no policy changes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate.compiler import Compiler
from argosy.translate.proxy import Proxy
from argosy.translate.resource import EXTENSION, LISTENER
from tests.unit.translate.mesh import SUFFIX, decoded, service, workload

ASKED = f"ext.{SUFFIX}"


class Sidecar:
    """A workload of a port of HTTP and one of bytes; where nothing is captured Envoy sees other ports than these."""

    def __init__(self, interception: Interception = Interception.EXPLICIT) -> None:
        self.snapshot = Snapshot(ir.Mesh())
        self.snapshot.put_service(service("ext", (9000, Protocol.GRPC)))
        self.snapshot.put_workload(
            workload("reviews", "v1", (9080, 20001, 30001, Protocol.HTTP), (5000, 20002, 30002, Protocol.TCP))
        )
        labels = (("app", "reviews"),)
        scope = scope_of(
            Reader(self.snapshot),
            type=ProxyType.SIDECAR,
            interception=interception,
            namespace="default",
            labels=labels,
        )
        self.compiler = Compiler(self.snapshot)
        self.own = self.compiler.own(
            Proxy(namespace="default", name="reviews-v1", scope=scope, labels=labels)
        )

    def apply(self, text: str) -> dict[str, set[str]]:
        """What changed in the proxy's own view: type URL -> names."""
        changed: dict[str, set[str]] = {}
        for body in yaml.safe_load_all(text):
            facts = self.snapshot.put_config(decode(body))
            assert self.snapshot.rejected == {}
            for view, changes in self.compiler.apply(facts):
                if view is self.own:
                    for kind, (upserts, removals) in changes.items():
                        changed.setdefault(kind, set()).update(upserts, removals)
        return changed

    def place(self, name: str) -> dict[str, Any]:
        config: dict[str, Any] = decoded(self.own.resources[EXTENSION][f"authorization/{name}"])[
            "typed_config"
        ]
        return config


def policy(action: str, rules: str, *, name: str = "a", more: str = "{}", annotations: str = "{}") -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": name, "namespace": "default", "annotations": yaml.safe_load(annotations)},
            "spec": {"action": action, "rules": yaml.safe_load(rules), **yaml.safe_load(more)},
        }
    )


def settings(*providers: dict[str, Any]) -> str:
    mesh = yaml.safe_dump({"extensionProviders": list(providers)})
    metadata = {"name": "istio", "namespace": "istio-system"}
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": mesh}}
    )


GRPC = {"name": "asked", "envoyExtAuthzGrpc": {"service": f"default/{ASKED}", "port": 9000}}
HTTP = {"name": "asked", "envoyExtAuthzHttp": {"service": ASKED, "port": 9000}}
PROVIDER = "{provider: {name: asked}}"


@pytest.mark.parametrize("action", ["ALLOW", "DENY", "AUDIT", "CUSTOM"])
def test_a_policy_that_comes_changes_its_places_and_no_listener(action: str) -> None:
    sidecar = Sidecar()
    more = PROVIDER if action == "CUSTOM" else "{}"
    changed = sidecar.apply(policy(action, "[{}]", more=more))
    assert changed.keys() == {EXTENSION}
    slot = action.lower()
    assert changed[EXTENSION] == {f"authorization/http/{slot}/9080", f"authorization/tcp/{slot}/5000"}
    facts = sidecar.snapshot.remove_config("AuthorizationPolicy", "default", "a")
    (changes,) = (found for view, found in sidecar.compiler.apply(facts) if view is sidecar.own)
    assert changes.keys() == {EXTENSION}
    assert "rules" not in sidecar.place(f"http/{slot}/9080")


def test_every_place_of_a_listener_is_there() -> None:
    for interception in Interception:
        own = Sidecar(interception).own
        asked = set()
        for listener in own.resources[LISTENER].values():
            for chain in decoded(listener).get("filter_chains", []):
                for one in chain["filters"]:
                    inner = one.get("typed_config", {}).get("http_filters", [])
                    asked |= {
                        each["name"] for each in (one, *inner) if each["name"].startswith("authorization/")
                    }
        held = {name for name in own.resources[EXTENSION] if name.startswith("authorization/")}
        assert asked == held != set()


def test_policies_speak_of_the_workloads_port_whatever_is_bound() -> None:
    sidecar = Sidecar()
    ports = (
        '[{to: [{operation: {ports: ["9080"]}}]}, {when: [{key: destination.port, notValues: ["9080"]}]}, {}]'
    )
    sidecar.apply(policy("DENY", ports))

    def rules(name: str) -> list[str]:
        return [one[-2] for one in sorted(sidecar.place(name)["rules"]["policies"])]

    assert rules("http/deny/9080") == ["0", "2"]
    assert rules("tcp/deny/5000") == ["1", "2"]
    captured = Sidecar(Interception.REDIRECT)
    captured.apply(policy("DENY", ports))
    (permission,) = captured.place("http/deny")["rules"]["policies"]["ns[default]-policy[a]-rule[0]"][
        "permissions"
    ]
    assert permission == {"destination_port": 9080}, "where connections are captured Envoy knows it"


def test_an_allow_that_nothing_is_left_of_denies_all() -> None:
    sidecar = Sidecar()
    sidecar.apply(policy("ALLOW", "[{to: [{operation: {methods: [GET]}}]}]"))
    assert sidecar.place("tcp/allow/5000")["rules"] == {}
    assert list(sidecar.place("http/allow/9080")["rules"]["policies"]) == ["ns[default]-policy[a]-rule[0]"]


def test_a_dry_run_stands_beside_what_is_in_force() -> None:
    sidecar = Sidecar()
    sidecar.apply(policy("DENY", "[{}]", annotations='{istio.io/dry-run: "true"}'))
    place = sidecar.place("http/deny/9080")
    assert "rules" not in place
    assert place["shadow_rules_stat_prefix"] == "istio_dry_run_deny_"
    assert place["track_per_rule_stats"] is True
    sidecar.apply(policy("DENY", "[{}]", name="b"))
    place = sidecar.place("http/deny/9080")
    assert list(place["rules"]["policies"]) == ["ns[default]-policy[b]-rule[0]"]
    assert list(place["shadow_rules"]["policies"]) == ["ns[default]-policy[a]-rule[0]"]


def test_who_is_asked_over_grpc_is_asked_about_both() -> None:
    sidecar = Sidecar()
    sidecar.apply(settings(GRPC))
    sidecar.apply(policy("CUSTOM", "[{}]", more=PROVIDER))
    for place, port in (("http", 9080), ("tcp", 5000)):
        asking = sidecar.place(f"{place}/custom/{port}")
        assert list(asking["shadow_rules"]["policies"]) == [
            "istio-ext-authz-asked-ns[default]-policy[a]-rule[0]"
        ]
        asked = sidecar.place(f"{place}/ext-authz/{port}")
        assert asked["grpc_service"]["envoy_grpc"]["cluster_name"] == f"outbound|9000||{ASKED}"
        assert asked["grpc_service"]["timeout"] == "600s"


def test_who_is_asked_over_http_is_not_asked_about_connections() -> None:
    sidecar = Sidecar()
    sidecar.apply(settings(HTTP))
    sidecar.apply(policy("CUSTOM", "[{}]", more=PROVIDER))
    assert (
        sidecar.place("http/ext-authz/9080")["http_service"]["server_uri"]["cluster"]
        == f"outbound|9000||{ASKED}"
    )
    assert "shadow_rules" not in sidecar.place("tcp/custom/5000")
    assert "rules" not in sidecar.place("tcp/custom/5000")


def wrong(**changes: Any) -> dict[str, Any]:
    return {"name": "asked", "envoyExtAuthzHttp": {**HTTP["envoyExtAuthzHttp"], **changes}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "providers",
    [
        (),
        ({"name": "another", **{key: value for key, value in GRPC.items() if key != "name"}},),
        (GRPC, HTTP),  # two of one name
        (wrong(port=0),),
        (wrong(port=9001),),
        (wrong(service="nobody.example"),),
        (wrong(service=""),),
        (wrong(statusOnError="999"),),
        (wrong(statusOnError="418"),),  # no status of Envoy's
        (wrong(pathPrefix="check"),),
        (wrong(timeout="soon"),),
        (wrong(headersToUpstreamOnAllow=["*"]),),
        (wrong(includeAdditionalHeadersInCheck={"a b": "c"}),),
        (wrong(includeRequestBodyInCheck={"maxRequestBytes": 0}),),
    ],
)
def test_whoever_cannot_be_asked_denies(providers: tuple[dict[str, Any], ...]) -> None:
    sidecar = Sidecar()
    if providers:
        sidecar.apply(settings(*providers))
    sidecar.apply(policy("CUSTOM", "[{}]", more=PROVIDER))
    rules = sidecar.place("http/custom/9080")["rules"]
    assert rules["action"] == "DENY"
    name = "istio-ext-authz-asked-ns[default]-policy[a]-rule[0]-deny-due-to-bad-CUSTOM-action"
    assert list(rules["policies"]) == [name]
    assert "http_service" not in sidecar.place("http/ext-authz/9080")


def test_several_providers_for_one_workload_deny() -> None:
    sidecar = Sidecar()
    sidecar.apply(settings(GRPC, {**GRPC, "name": "other"}))
    sidecar.apply(policy("CUSTOM", "[{}]", more=PROVIDER))
    assert "rules" not in sidecar.place("http/custom/9080")
    sidecar.apply(policy("CUSTOM", "[{}]", name="b", more="{provider: {name: other}}"))
    assert len(sidecar.place("http/custom/9080")["rules"]["policies"]) == 2
