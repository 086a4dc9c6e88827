"""References that fit nothing in the mesh: the field, the value and the remedy."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.explain.analysis import applied
from argosy.explain.analysis.applied import Warned
from argosy.explain.analysis.world import World, item
from argosy.model import ir
from argosy.resources.kinds import decode
from argosy.resources.meta import Object
from tests.unit.model.written import mesh_config, obj


def body(written: Object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(written))


def mesh(*objects: Object) -> World:
    return World((made for each in objects if (made := item(body(each)))), complete=True)


def warnings(made: World, written: Object) -> tuple[Warned, ...]:
    return applied.warnings(made, body(written), ir.Mesh())


def service(host: str, port: int) -> Object:
    named = host if "." in host else f"{host}.default.svc.cluster.local"
    spec = {"hosts": [named], "ports": [{"number": port, "name": "http", "protocol": "HTTP"}]}
    metadata = {"name": host.strip("*."), "namespace": "default"}
    return decode(
        {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata, "spec": spec}
    )


MESH = (
    service("reviews", 9080),
    service("*.wild.com", 443),
    obj("DestinationRule", "reviews", {"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v2"}]}),
    obj(
        "Gateway",
        "infra/edge",
        {"servers": [{"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["shop/*", "*.com"]}]},
    ),
    obj(
        "VirtualService",
        "team/owner",
        {"hosts": ["taken.com"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
        created="2020-01-01T00:00:00Z",
    ),
    obj("VirtualService", "team/child", {"http": [{"route": [{"destination": {"host": "reviews"}}]}]}),
)


def vs(**spec: Any) -> Any:
    spec.setdefault("hosts", ["a.com"])
    return obj("VirtualService", "default/v", spec)


def to(host: str, **more: Any) -> list[dict[str, Any]]:
    return [{"route": [{"destination": {"host": host} | more}]}]


@pytest.mark.parametrize(
    ("written", "field", "says"),
    [
        (
            vs(http=to("nobody")),
            "spec.http[0].route[0].destination.host",
            ["nobody (nobody.default.svc.cluster.local)", "no service has this host", "create"],
        ),
        (
            vs(http=to("reviews", subset="v9")),
            "spec.http[0].route[0].destination.subset",
            ["v9", "default/reviews (subsets: v1, v2)", "add it"],
        ),
        (
            vs(http=to("x.wild.com", subset="v1")),
            "spec.http[0].route[0].destination.subset",
            ["no DestinationRule defines subsets of x.wild.com", "create one"],
        ),
        (
            vs(http=to("reviews", port={"number": 1})),
            "spec.http[0].route[0].destination.port.number",
            ["1: not a port of reviews.default.svc.cluster.local", "9080", "(IST0101)"],
        ),
        (
            vs(http=[{"route": [{"destination": {"host": "reviews"}}], "mirror": {"host": "no.org"}}]),
            "spec.http[0].mirror.host",
            ["no.org"],
        ),
        (
            vs(
                http=[
                    {
                        "route": [{"destination": {"host": "reviews"}}],
                        "mirrors": [{"destination": {"host": "no.org"}}],
                    }
                ]
            ),
            "spec.http[0].mirrors[0].destination.host",
            ["no.org"],
        ),
        (vs(tcp=to("no.org")), "spec.tcp[0].route[0].destination.host", ["no.org"]),
        (
            vs(tls=[{"match": [{"sniHosts": ["a.com"]}], **to("no.org")[0]}]),
            "spec.tls[0].route[0].destination.host",
            ["no.org"],
        ),
        (
            vs(http=[{"delegate": {"name": "none", "namespace": "team"}}]),
            "spec.http[0].delegate.name",
            ["team/none", "create it"],
        ),
        (
            vs(http=[{"delegate": {"name": "owner", "namespace": "team"}}]),
            "spec.http[0].delegate.name",
            ["team/owner: has hosts"],
        ),
        (
            vs(gateways=["edge"], http=to("reviews")),
            "spec.gateways[0]",
            ["edge: there is no Gateway default/edge", "create it or correct the name"],
        ),
        (
            vs(hosts=["a.org"], gateways=["infra/edge"], http=to("reviews")),
            "spec.gateways[0]",
            ["none of this object's hosts (a.org)", "shop/*, */*.com"],
        ),
        (
            vs(hosts=["b.com", "taken.com"], http=to("reviews")),
            "spec.hosts[1]",
            [
                "taken.com",
                "VirtualService default/v and VirtualService team/owner",
                "sidecars use team/owner",
            ],
        ),
        (
            obj("DestinationRule", "d", {"host": "nobody"}),
            "spec.host",
            ["nobody (nobody.default.svc.cluster.local)", "no service"],
        ),
        (obj("DestinationRule", "d", {"host": "*.org"}), "spec.host", ["*.org"]),
    ],
)
def test_a_reference_that_fits_nothing(written: Any, field: str, says: list[str]) -> None:
    ((found, message),) = warnings(mesh(*MESH), written)
    assert found == field
    for part in says:
        assert part in message


@pytest.mark.parametrize(
    "written",
    [
        vs(http=to("reviews", subset="v1", port={"number": 9080})),
        vs(http=to("x.wild.com")),
        vs(http=[{"delegate": {"name": "child", "namespace": "team"}}]),
        vs(gateways=["infra/edge"], http=to("reviews")),
        vs(hosts=["taken.com"], gateways=["infra/edge"], http=to("reviews")),
        vs(http=[{"redirect": {"uri": "/"}}]),
        obj(
            "VirtualService",
            "team/owner",
            {"hosts": ["taken.com"], "http": to("reviews.default.svc.cluster.local")},
        ),
        obj("DestinationRule", "d", {"host": "reviews"}),
        obj("DestinationRule", "d", {"host": "*.cluster.local"}),
        obj("DestinationRule", "d", {"host": "x.wild.com"}),
        obj("PeerAuthentication", "p", {}),
    ],
)
def test_what_fits_is_not_warned_of(written: Any) -> None:
    assert warnings(mesh(*MESH), written) == ()


def test_two_that_nobody_sees_together_do_not_conflict() -> None:
    http = to("reviews.default.svc.cluster.local")
    mine = obj("VirtualService", "a/v", {"hosts": ["x.com"], "exportTo": ["."], "http": http})
    other = obj("VirtualService", "b/v", {"hosts": ["x.com"], "exportTo": ["."], "http": http})
    assert warnings(mesh(service("reviews", 9080), other), mine) == ()


def test_a_trust_domain_that_is_not_the_certificates_is_told() -> None:
    made = mesh()
    ((field, message),) = warnings(made, mesh_config("trustDomain: example.org"))
    assert field == "data.mesh.trustDomain"
    assert "example.org: this server certifies workloads of cluster.local" in message
    assert "--trust-domain example.org" in message
    for text in ("trustDomain: cluster.local", "connectTimeout: 1s", "{"):
        assert warnings(made, mesh_config(text)) == ()
    assert warnings(made, mesh_config("trustDomain: example.org", name="other")) == ()
