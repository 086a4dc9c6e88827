"""`argosy identity revoke`: takes an identity away from whoever holds it, at once; `restore` gives it back.

Envoy looks at a certificate when a connection is made; a list of revoked ones (CRL) would leave open connections alone,
and refuse everybody where the list of one issuing authority is missing or out of date. So what is taken away is what
the certificate is good for: other workloads deny the identity at each request, the authority issues it no more, the
control plane ends its streams, and its endpoints go. All of it is objects, which anyone can read.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from argosy.cli import identity_api
from argosy.cli.options import StateDir
from argosy.runtime.errors import Failure

Json = dict[str, Any]
_ACCOUNT = re.compile(r"([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)/([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)")
ROOT_NAMESPACE = "istio-system"
LONGEST_NAME = 253

Account = Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The service account.")]


def revoke(
    account: Account,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for people.")] = "",
    state_dir: StateDir = "",
) -> None:
    """Take an identity away at once: every workload denies it, no certificate is issued for it, its endpoints go.

    For a key that was stolen: revoke, see to the host, restore. All workloads of the service account are concerned.
    What was read before is not taken back, and an open TCP connection (not HTTP) lives on until it is closed.
    """
    from argosy.apiserver.client import ApiError
    from argosy.cli.connect import api, kind_called
    from argosy.cli.terminal import say

    namespace, name = parted(account)
    gone = 0
    with api(state_dir) as client:
        for obj in objects(namespace, name, reason, trust_domain(client)):
            client.apply(obj)
        kind = kind_called("workloadentry")
        for entry in client.list(kind, namespace)["items"]:
            if entry["spec"].get("serviceAccount") == name:
                try:
                    client.delete(kind, entry["metadata"]["name"], namespace)
                except ApiError as error:
                    if error.http_code != 404:
                        raise
                    continue
                gone += 1
    say(f"revoked: {account} is denied everywhere; {gone} of its workloads left the mesh", "green")
    say(f"argosy identity restore {account} gives it back")


def restore(
    account: Account,
    now: Annotated[
        bool, typer.Option("--now", help="Though certificates from before, which may be stolen, count again.")
    ] = False,
    state_dir: StateDir = "",
) -> None:
    """Give back an identity that was revoked. Its workloads come back by themselves, with new certificates.

    Not before the certificates have ended that were issued before, unless told: they would count again.
    """
    from argosy.apiserver.client import ApiError
    from argosy.cli.connect import api, kind_called
    from argosy.cli.terminal import say

    namespace, name = parted(account)
    label, found = object_name(namespace, name), 0
    if not now:
        _must_have_ended(state_dir, namespace, name)
    with api(state_dir) as client:
        for kind, where in (("issuingpolicy", ""), ("authorizationpolicy", ROOT_NAMESPACE)):
            try:
                client.delete(kind_called(kind), label, where)
                found += 1
            except ApiError as error:
                if error.http_code != 404:
                    raise
    if not found:
        raise Failure(f"{account} is not revoked", "argosy get issuingpolicies names those that are")
    say(f"restored: {account}", "green")


def _must_have_ended(state_dir: str, namespace: str, name: str) -> None:
    """Raises Failure."""
    import time

    rows = identity_api.rows(state_dir, namespace)
    ends = [
        row["not_after"] for row in rows if row["service_account"] == name and row["not_after"] > time.time()
    ]
    if ends:
        until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(max(ends)))
        raise Failure(
            f"certificates of {namespace}/{name} from before count until {until}",
            "restore it then; or --now, where none of them is in other hands",
        )


def parted(account: str) -> tuple[str, str]:
    """(namespace, name). Raises Failure."""
    found = _ACCOUNT.fullmatch(account)
    if not found:
        raise Failure(f"{account}: not a service account", "NAMESPACE/NAME, as in shop/reviews", code=2)
    return found[1], found[2]


def object_name(namespace: str, name: str) -> str:
    return f"revoked-{namespace}.{name}"[:LONGEST_NAME].rstrip("-.")


def trust_domain(client: Any) -> str:
    from argosy.cli.connect import OPERATIONS

    return str(client.request("GET", f"{OPERATIONS}/trust")["trust_domain"])


def objects(namespace: str, name: str, reason: str, domain: str) -> tuple[Json, Json]:
    label = object_name(namespace, name)
    return (
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": label, "namespace": ROOT_NAMESPACE},
            "spec": {
                "action": "DENY",
                "rules": [{"from": [{"source": {"principals": [f"{domain}/ns/{namespace}/sa/{name}"]}}]}],
            },
        },
        {
            "apiVersion": "identity.argosy.dev/v1",
            "kind": "IssuingPolicy",
            "metadata": {"name": label},
            "spec": {"deny": [f"{namespace}/{name}"], **({"reason": reason} if reason else {})},
        },
    )
