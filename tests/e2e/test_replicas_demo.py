"""The demo's shop on two servers of one etcd: either is killed, and nobody who looks at the page notices."""

from __future__ import annotations

import threading

import pytest

from argosy.demo.shop import CONFIG, GATEWAY, SHOP, gateway_command
from tests.e2e.mesh import Mesh, until
from tests.e2e.test_replicas import Replicas, replicas
from tests.ports import free_port

__all__ = ["replicas"]

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(400)]


class Visitor(threading.Thread):
    """Looks at the page again and again; what was not whole is in `wrong`."""

    def __init__(self, mesh: Mesh, port: int) -> None:
        super().__init__(daemon=True)
        self.mesh, self.port = mesh, port
        self.seen = 0
        self.wrong: list[str] = []
        self.left = False

    def look(self) -> str:
        """What is wrong with the page: the frontend answers 200 and says which service failed, and how."""
        try:
            status, body = self.mesh.http_get(self.port, "/api/page", timeout=15)
        except OSError as error:
            return repr(error)
        whole = status == 200 and '"error"' not in body and all(part in body for part in PARTS)
        return "" if whole else f"{status} {body[:500]}"

    def run(self) -> None:
        while not self.left:
            if wrong := self.look():
                self.wrong.append(wrong)
            self.seen += 1

    def sees(self, more: int) -> None:
        wanted = self.seen + more
        until(lambda: self.seen >= wanted, f"{more} more pages", 60)


PARTS = ('"catalog"', '"stock"', '"reviews"')


def test_the_shop_goes_on_while_either_server_is_killed(replicas: Replicas) -> None:
    a, b = replicas.a, replicas.b
    port = free_port()
    a.argosy("apply", "-f", str(CONFIG / "shop.yaml"))
    for number, member in enumerate(SHOP):
        mesh = (a, b)[number % 2]
        mesh.run(*member.command((), mesh.state), name=member.name)
    a.run(*gateway_command((), a.state, port), name=GATEWAY)
    visitor = Visitor(a, port)
    until(lambda: not visitor.look() or None, "the page is whole", 90)
    until(lambda: {member.name for member in SHOP} <= set(replicas.entries(b)), "all are in the mesh")
    names = set(replicas.entries(b))
    visitor.start()
    try:
        for dead, alive, file in ((a, b, "canary.yaml"), (b, a, "one-user.yaml")):
            visitor.sees(30)
            dead.kill_server()
            replicas.all_come_to(alive)
            alive.argosy("apply", "--wait", "-f", str(CONFIG / file))
            visitor.sees(30)
            assert set(replicas.entries(alive)) == names
            alive.argosy("delete", "-f", str(CONFIG / file))
            dead.start_server()
        visitor.sees(30)
    finally:
        visitor.left = True
        visitor.join(30)
    assert visitor.wrong == []
