"""What a request is to authorization, and how it is told no."""

from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from argosy.apiserver.access.attributes import OPERATIONS, Attributes, attributes_of, forbidden
from argosy.apiserver.auth import User
from argosy.apiserver.status import Refusal

N = "networking.istio.io"
VS = {"group": N, "resource": "virtualservices"}
ROUTES = f"/apis/{N}/v1/namespaces/shop/virtualservices"
CASES = [
    ("GET", f"{ROUTES}/x", Attributes(verb="get", namespace="shop", name="x", **VS)),
    ("HEAD", f"{ROUTES}/x", Attributes(verb="get", namespace="shop", name="x", **VS)),
    ("PUT", f"{ROUTES}/x", Attributes(verb="update", namespace="shop", name="x", **VS)),
    ("PATCH", f"{ROUTES}/x/status", Attributes(verb="patch", namespace="shop", name="x", subresource="status", **VS)),
    ("DELETE", f"{ROUTES}/x", Attributes(verb="delete", namespace="shop", name="x", **VS)),
    ("DELETE", ROUTES, Attributes(verb="deletecollection", namespace="shop", **VS)),
    ("POST", ROUTES, Attributes(verb="create", namespace="shop", **VS)),
    ("GET", ROUTES, Attributes(verb="list", namespace="shop", **VS)),
    ("GET", f"{ROUTES}?watch", Attributes(verb="watch", namespace="shop", **VS)),
    ("GET", f"{ROUTES}?watch=1", Attributes(verb="watch", namespace="shop", **VS)),
    ("GET", f"{ROUTES}?watch=f", Attributes(verb="list", namespace="shop", **VS)),
    ("GET", f"{ROUTES}?watch=false", Attributes(verb="list", namespace="shop", **VS)),
    ("GET", f"{ROUTES}?watch=0&watch=true", Attributes(verb="watch", namespace="shop", **VS)),
    ("GET", f"{ROUTES}?fieldSelector=metadata.name%3Dx", Attributes(verb="list", namespace="shop", name="x", **VS)),
    ("GET", f"{ROUTES}?fieldSelector=metadata.name!%3Dx", Attributes(verb="list", namespace="shop", **VS)),
    ("GET", f"/apis/{N}/v1beta1/virtualservices", Attributes(verb="list", **VS)),
    ("GET", "/api/v1/namespaces/shop", Attributes(verb="get", resource="namespaces", namespace="shop", name="shop")),
    ("GET", "/api/v1/namespaces", Attributes(verb="list", resource="namespaces")),
    ("GET", "/apis", Attributes(verb="get", path="/apis")),
    ("POST", "/version", Attributes(verb="post", path="/version")),
    ("GET", "/apis/operations.argosy.dev/v1/proxies", Attributes(verb="get", group=OPERATIONS, resource="proxies")),
    (
        "GET",
        "/apis/operations.argosy.dev/v1/delivery?object=VirtualService/shop/x",
        Attributes(verb="get", group=OPERATIONS, resource="delivery", namespace="shop"),
    ),
    (
        "GET",
        "/apis/operations.argosy.dev/v1/namespaces/shop/proxies",
        Attributes(verb="get", group=OPERATIONS, resource="proxies", namespace="shop"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "url", "expected"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES])
def test_a_request_is(method: str, url: str, expected: Attributes) -> None:
    path, _, query = url.partition("?")
    assert attributes_of(method, path, QueryParams(query)) == expected


@pytest.mark.parametrize("path", ["/", "/apix", "/api/v1/nothing", "//apis/operations.argosy.dev/v1/proxies"])
def test_a_path_that_means_nothing_is_404(path: str) -> None:
    with pytest.raises(Refusal) as refused:
        attributes_of("GET", path, QueryParams(""))
    assert refused.value.code == 404


WORDS = [
    (
        Attributes(verb="get", namespace="shop", name="x", **VS),
        'virtualservices.networking.istio.io "x" is forbidden: User "u" cannot get resource "virtualservices" in API '
        'group "networking.istio.io" in the namespace "shop"',
    ),
    (
        Attributes(verb="list", **VS),
        'virtualservices.networking.istio.io is forbidden: User "u" cannot list resource "virtualservices" in API '
        'group "networking.istio.io" at the cluster scope',
    ),
    (
        Attributes(verb="update", namespace="shop", name="x", subresource="status", **VS),
        'virtualservices.networking.istio.io "x" is forbidden: User "u" cannot update resource '
        '"virtualservices/status" in API group "networking.istio.io" in the namespace "shop"',
    ),
    (
        Attributes(verb="get", resource="secrets", namespace="shop", name="key"),
        'secrets "key" is forbidden: User "u" cannot get resource "secrets" in API group "" in the namespace "shop"',
    ),
    (Attributes(verb="get", path="/version"), 'forbidden: User "u" cannot get path "/version"'),
]


@pytest.mark.parametrize(("wanted", "message"), WORDS)
def test_no_is_said_in_the_words_of_kube_apiserver(wanted: Attributes, message: str) -> None:
    refusal = forbidden(User("u"), wanted)
    assert (refusal.code, refusal.status["reason"], refusal.status["message"]) == (403, "Forbidden", message)


def test_details_are_those_of_kube_apiserver() -> None:
    assert forbidden(User("u"), Attributes(verb="get", name="x", **VS)).status["details"] == {
        "name": "x",
        "group": N,
        "kind": "virtualservices",
    }
    assert "details" not in forbidden(User("u"), Attributes(verb="get", path="/x")).status


def test_a_name_cannot_break_out_of_its_quotes() -> None:
    said = forbidden(User('a" cannot\n<b>'), Attributes(verb="get", path="/x")).status["message"]
    assert said == 'forbidden: User "a\\" cannot\\u000a&lt;b&gt;" cannot get path "/x"'
