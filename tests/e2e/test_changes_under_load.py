"""Make before break: configuration is changed in every order that makes sense, under load, and no request fails.

Retries are off, so that a request that fails is seen. (A subset that is taken away by itself while a route still leads
to it makes requests fail, as it should.)
"""

from __future__ import annotations

import pytest

from tests.e2e.mesh import IN_PARTS, Load, Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

URL = "http://reviews:9080/"
EACH = 60
"""Requests between two changes."""


def routed(host: str = "reviews", subset: str = "") -> str:
    to = f"host: {host}" + (f", subset: {subset}" if subset else "")
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews, namespace: default}}
spec:
  hosts: [reviews]
  http:
  - route: [{{destination: {{{to}, port: {{number: 9080}}}}}}]
    retries: {{attempts: 0}}
"""


def subsets(**versions: str) -> str:
    listed = [f"{{name: {name}, labels: {{version: {version}}}}}" for name, version in versions.items()]
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews, namespace: default}}
spec: {{host: reviews, subsets: [{", ".join(listed)}]}}
"""


SPARE = """
apiVersion: v1
kind: Service
metadata: {name: spare, namespace: default}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
"""


def together(*documents: str) -> str:
    return "---".join(documents)


@pytest.mark.parametrize(
    ("wait", "layout"),
    [("--wait", ()), ("", ()), ("", IN_PARTS)],
    ids=["one-by-one", "at-once", "at-once-in-parts"],
)
def test_no_request_fails_while_routes_and_their_clusters_come_and_go(
    shared_mesh: Mesh, wait: str, layout: tuple[str, ...]
) -> None:
    mesh = shared_mesh
    mesh.echo("reviews", "v1")
    mesh.echo("reviews", "v2")
    client = mesh.client("client", *layout)
    mesh.announced("reviews", count=2)

    def apply(*documents: str) -> None:
        mesh.argosy("apply", *filter(None, (wait,)), "-f", "-", stdin=together(*documents))

    apply(routed())
    changes = {
        "a route to a cluster that is new with it, the route first": (
            routed(subset="one"),
            subsets(one="v1"),
        ),
        "a subset that moves to other endpoints": (subsets(one="v2"),),
        "another subset in its place, the old one gone at once": (
            subsets(other="v1"),
            routed(subset="other"),
        ),
        "a service that is new with the route to it": (routed(host="spare"), SPARE),
        "back, the subsets under other names": (subsets(last="v2"), routed(subset="last")),
    }
    with Load(client.port, URL) as load:
        load.at_least(EACH)
        for what, documents in changes.items():
            apply(*documents)
            load.at_least(EACH)
            assert load.failures == [], what
        mesh.delete("service", "spare")  # nobody is led there any more
        load.at_least(EACH)
        assert load.failures == [], "a service that goes"
        apply(routed())
        mesh.delete("destinationrule", "reviews")
        load.at_least(EACH)
        mesh.delete("virtualservice", "reviews")
        load.at_least(EACH)
    assert load.failures == []
    assert set(load.answers) == {"reviews-v1", "reviews-v2"}
    for run in list(mesh.runs.values()):
        run.stop()
