"""Rows of the acceptance table: who somebody is, what he may, and what he is told where he may not."""

from __future__ import annotations

import json

from tests.servers.acceptance.objects import ROUTE, SECRET
from tests.servers.acceptance.targets import Target
from tests.servers.kubectl import Kubectl

EDITOR = ("--verb=get,list,watch,create,patch", "--resource=virtualservices.networking.istio.io")


def test_everybody_sees_who_he_is(kubectl: Kubectl, bob: Kubectl) -> None:
    said = json.loads(bob.ok("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert (said["username"], said["groups"]) == ("bob", ["system:authenticated"])
    assert "admin" in kubectl.ok("auth", "whoami")


def test_an_unknown_token_is_told_so(target: Target, kubectl: Kubectl) -> None:
    refused = kubectl("get", "vs", "--token=nobody-knows-this-token")
    assert (refused.returncode, "You must be logged in" in refused.stderr) == (1, True), refused.stderr


def test_without_a_right_one_is_told_which(bob: Kubectl, namespace: str) -> None:
    may_not = (
        'Error from server (Forbidden): {0} is forbidden: User "bob" cannot {1} resource "{2}" in API group'
    )
    listing = bob("get", "vs")
    resource = "virtualservices.networking.istio.io"
    assert may_not.format(resource, "list", "virtualservices") in listing.stderr
    assert f'in the namespace "{namespace}"' in listing.stderr
    assert "at the cluster scope" in bob("get", "vs", "-A").stderr
    created = bob("create", "-f", "-", stdin=SECRET)
    said = (
        'secrets is forbidden: User "bob" cannot create resource "secrets" in API group "" in the namespace'
    )
    assert f'{said} "{namespace}"' in created.stderr
    named = bob("get", "secret", "key")
    assert 'secrets "key" is forbidden' in named.stderr, "whether it is there is not told"


def test_a_role_gives_what_it_says_and_no_more(kubectl: Kubectl, bob: Kubectl) -> None:
    kubectl.ok("create", "role", "editor", *EDITOR)
    kubectl.ok("create", "rolebinding", "bob", "--role=editor", "--user=bob")
    bob.ok("apply", "-f", "-", stdin=ROUTE)
    bob.ok("apply", "--server-side", "-f", "-", "--force-conflicts", stdin=ROUTE)
    assert "reviews" in bob.ok("get", "vs")
    assert "(Forbidden)" in bob("delete", "vs", "reviews").stderr
    assert "(Forbidden)" in bob("get", "secrets").stderr
    assert "(Forbidden)" in bob("get", "vs", "-n", "default").stderr
    watching = bob("get", "vs", "--watch", "--request-timeout=1s")
    assert "reviews" in watching.stdout
    kubectl.ok("delete", "rolebinding", "bob")
    assert "(Forbidden)" in bob("get", "vs").stderr


def test_can_i_answers_as_the_server_would(kubectl: Kubectl, bob: Kubectl) -> None:
    kubectl.ok("create", "role", "editor", *EDITOR)
    kubectl.ok("create", "rolebinding", "bob", "--role=editor", "--user=bob")
    for question, answer in (
        (("get", "vs"), "yes"),
        (("delete", "vs"), "no"),
        (("get", "vs", "-n", "default"), "no"),
        (("get", "secrets"), "no"),
        (("get", "/version"), "yes"),
    ):
        assert bob("auth", "can-i", *question).stdout.strip() == answer, question
    assert kubectl.ok("auth", "can-i", "*", "*", "-A").strip() == "yes"
    assert "virtualservices.networking.istio.io" in bob.ok("auth", "can-i", "--list")
    assert kubectl("auth", "can-i", "get", "vs", "--as=bob").stdout.strip() == "yes"


def test_nobody_gives_away_what_he_has_not(kubectl: Kubectl, bob: Kubectl) -> None:
    kubectl.ok("create", "role", "granter", "--verb=create,get", "--resource=roles")
    kubectl.ok("create", "rolebinding", "bob", "--role=granter", "--user=bob")
    refused = bob("create", "role", "more", "--verb=delete", "--resource=secrets")
    assert (refused.returncode, "(Forbidden)" in refused.stderr) == (1, True)
    assert "attempting to grant RBAC permissions not currently held" in refused.stderr
