"""Steering real requests: splits, matches, retries, faults and breakers, from YAML to what the client sees."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.mesh import Client, Mesh

pytestmark = pytest.mark.e2e

URL = "http://reviews:9080/"
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""


def virtual_service(http: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews, namespace: default}}
spec:
  hosts: [reviews]
  http:
{http}
"""


def within_three_sigma(sample: Callable[[], int], count: int, share: float) -> bool:
    """Whether `sample()` of `count` hits its share. Chance alone leaves three sigma once in 370 samples: a second,
    independent one decides then. A wrong share leaves it both times."""
    sigma = math.sqrt(count * share * (1 - share))
    return any(abs(sample() - count * share) <= 3 * sigma for _ in range(2))


@pytest.fixture(scope="module")
def client(shared_mesh: Mesh) -> Client:
    shared_mesh.echo("reviews", "v1", app=("--flaky",))
    shared_mesh.echo("reviews", "v2")
    client = shared_mesh.client()
    shared_mesh.announced("reviews", count=2)
    return client


@pytest.fixture
def mesh(shared_mesh: Mesh, client: Client) -> Iterator[Mesh]:
    yield shared_mesh
    for kind in ("virtualservice", "destinationrule"):
        shared_mesh.argosy("delete", kind, "reviews", "-n", "default", check=False)


def served(client: Client, count: int, url: str = URL, headers: dict[str, str] | None = None) -> Counter[str]:
    return Counter(
        a.headers.get("x-served-by", str(a.status)) for a in client.many(url, count, headers=headers)
    )


def test_without_rules_every_instance_is_used(mesh: Mesh, client: Client) -> None:
    assert set(served(client, 100)) == {"reviews-v1", "reviews-v2"}


def test_a_split_is_kept_within_three_sigma(mesh: Mesh, client: Client) -> None:
    mesh.apply(
        SUBSETS
        + "---"
        + virtual_service("""
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v2}, weight: 10}
""")
    )

    def share_of_v2() -> int:
        seen = served(client, 2000)
        assert seen.total() == 2000
        assert set(seen) == {"reviews-v1", "reviews-v2"}
        return seen["reviews-v2"]

    assert within_three_sigma(share_of_v2, 2000, 0.1)


def test_a_header_sends_a_user_elsewhere(mesh: Mesh, client: Client) -> None:
    mesh.apply(
        SUBSETS
        + "---"
        + virtual_service("""
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
""")
    )
    assert served(client, 50) == {"reviews-v1": 50}
    assert served(client, 50, headers={"end-user": "jason"}) == {"reviews-v2": 50}


def test_matches_on_uri_query_method_and_authority(mesh: Mesh, client: Client) -> None:
    mesh.apply(
        SUBSETS
        + "---"
        + virtual_service("""
  - match:
    - {uri: {prefix: /new}}
    - {queryParams: {beta: {exact: "1"}}}
    - {method: {exact: PUT}}
    - {authority: {regex: "reviews\\\\.default.*"}}
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
""")
    )

    def by(url: str, method: str = "GET") -> str:
        return client.request(url, method).headers["x-served-by"]

    assert by(URL) == "reviews-v1"
    assert by(URL + "new/thing") == "reviews-v2"
    assert by(URL + "?beta=1") == "reviews-v2"
    assert by(URL + "?beta=2") == "reviews-v1"
    assert by(URL, "PUT") == "reviews-v2"
    assert by("http://reviews.default:9080/") == "reviews-v2"


def test_a_change_is_live_when_apply_returns(mesh: Mesh, client: Client) -> None:
    mesh.apply(SUBSETS)
    for turn in range(10):
        subset = f"v{turn % 2 + 1}"
        mesh.apply(virtual_service(f"  - route: [{{destination: {{host: reviews, subset: {subset}}}}}]"))
        assert served(client, 10) == {f"reviews-{subset}": 10}


def test_a_retry_goes_to_another_endpoint(mesh: Mesh, client: Client) -> None:
    mesh.apply(virtual_service("  - {route: [{destination: {host: reviews}}], retries: {attempts: 0}}"))
    without = Counter(a.status for a in client.many(URL + "flaky", 100))
    assert without[503] > 0, "half of the endpoints fail: without retries it shows"
    mesh.apply(
        virtual_service("  - {route: [{destination: {host: reviews}}], retries: {attempts: 2, retryOn: 5xx}}")
    )
    assert Counter(a.status for a in client.many(URL + "flaky", 100)) == {200: 100}


def test_faults_hit_their_share_of_requests(mesh: Mesh, client: Client) -> None:
    mesh.apply(
        virtual_service("""
  - fault: {abort: {httpStatus: 418, percentage: {value: 30}}}
    route: [{destination: {host: reviews}}]
    retries: {attempts: 0}
""")
    )

    def aborted() -> int:
        return sum(a.status == 418 for a in client.many(URL, 1000))

    assert within_three_sigma(aborted, 1000, 0.3)
    mesh.apply(
        virtual_service("""
  - fault: {delay: {fixedDelay: 400ms, percentage: {value: 50}}}
    route: [{destination: {host: reviews}}]
""")
    )

    def delayed() -> int:
        slow = 0
        for _ in range(40):
            begin = time.monotonic()
            assert client.request(URL).status == 200
            slow += time.monotonic() - begin >= 0.4
        return slow

    assert within_three_sigma(delayed, 40, 0.5)


def test_a_timeout_ends_a_slow_request(mesh: Mesh, client: Client) -> None:
    mesh.apply(
        virtual_service(
            "  - {route: [{destination: {host: reviews}}], timeout: 200ms, retries: {attempts: 0}}"
        )
    )
    assert client.request(URL, headers={"x-delay-ms": "2000"}).status == 504
    assert client.request(URL).status == 200


def test_redirect_and_header_operations(mesh: Mesh, client: Client) -> None:
    mesh.apply(
        virtual_service("""
  - match: [{uri: {exact: /old}}]
    redirect: {uri: /new, authority: elsewhere.test, redirectCode: 302}
  - route:
    - destination: {host: reviews}
      headers: {response: {add: {x-added: "yes"}}}
    headers: {request: {set: {x-set: from-mesh}, remove: [x-secret]}}
""")
    )
    moved = client.request(URL + "old")
    assert (moved.status, moved.headers["location"]) == (302, "http://elsewhere.test/new")
    answer = client.request(URL, headers={"x-secret": "1", "x-set": "from-client"})
    seen = answer.json()["headers"]
    assert answer.headers["x-added"] == "yes"
    assert seen["x-set"] == "from-mesh"
    assert "x-secret" not in seen


def test_a_breaker_opens_and_closes(mesh: Mesh, client: Client) -> None:
    mesh.apply(
        """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}
"""
        + "---"
        + virtual_service("  - {route: [{destination: {host: reviews}}], retries: {attempts: 0}}")
    )
    busy = Counter(a.status for a in client.many(URL, 60, workers=12, headers={"x-delay-ms": "50"}))
    assert busy[503] > 0, "more than one connection and one waiting request: refused"
    assert busy[200] > 0
    assert Counter(a.status for a in client.many(URL, 20, workers=1)) == {200: 20}


def test_an_outlier_is_ejected_and_comes_back(mesh: Mesh, client: Client) -> None:
    mesh.apply(
        """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 3, interval: 500ms, baseEjectionTime: 3s, maxEjectionPercent: 50}
"""
        + "---"
        + virtual_service("  - {route: [{destination: {host: reviews}}], retries: {attempts: 0}}")
    )
    client.many(URL + "flaky", 60)
    assert served(client, 40) == {"reviews-v2": 40}, "the failing endpoint is ejected"
    deadline = time.monotonic() + 30
    while set(served(client, 20)) != {"reviews-v1", "reviews-v2"}:
        assert time.monotonic() < deadline, "the ejected endpoint never came back"
        time.sleep(0.2)
