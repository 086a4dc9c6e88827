"""The shop's services one by one, its page, and what it offers to try."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from argosy.demo import page
from argosy.demo.catalog import Catalog
from argosy.demo.driver import Load, burst
from argosy.demo.frontend import Frontend
from argosy.demo.inventory import Inventory
from argosy.demo.ratings import ratings
from argosy.demo.reviews import Reviews
from argosy.demo.shop import CONFIG, SHOP, tries
from argosy.demo.stock import StockRequest, StockResponse
from argosy.demo.web import Answer, Client, Request, Response, Server
from argosy.resources.loading import load_documents
from argosy.resources.validation import validate
from tests.ports import free_port

BOUND = 10.0


class Canned(Client):
    """Answers from a table; keeps the headers it was given."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        super().__init__(proxy="")
        self.answers = answers
        self.headers: dict[str, dict[str, str]] = {}

    async def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        self.headers[url] = headers or {}
        return self.answers[url]


def answered(value: object) -> Answer:
    return Answer(200, {}, json.dumps(value).encode(), 1.0)


def request(path: str, **headers: str) -> Request:
    query: dict[str, str] = {}
    path, _, rest = path.partition("?")
    if rest:
        query = dict(pair.split("=", 1) for pair in rest.split("&"))
    return Request("GET", path, query, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(("version", "colour"), [("v1", ""), ("v2", "black"), ("v3", "red")])
async def test_the_versions_of_reviews_can_be_told_apart(version: str, colour: str) -> None:
    client = Canned({"http://ratings:9080/ratings/0": answered({"ratings": {"Reviewer1": 5}})})
    said = json.loads((await Reviews(version, client)(request("/reviews/0", end_user="jason"))).body)
    assert (said["version"], said["color"]) == (version, colour)
    assert ("ratings" in said) == bool(colour)
    assert client.headers == ({"http://ratings:9080/ratings/0": {"end-user": "jason"}} if colour else {})


async def test_reviews_say_when_ratings_fail() -> None:
    client = Canned({"http://ratings:9080/ratings/0": Answer(503, {}, b"", 1.0)})
    said = json.loads((await Reviews("v3", client)(request("/reviews/0"))).body)
    assert said["ratings"] == {"error": "ratings answered 503"}


async def test_every_service_refuses_what_it_does_not_have() -> None:
    assert (await ratings(request("/x"))).status == 404
    assert (await Reviews("v1", Canned({}))(request("/x"))).status == 404
    assert (await Frontend(Canned({}))(request("/x"))).status == 404


CATALOG, REVIEWS = "http://catalog:9080/products/0", "http://reviews:9080/reviews/0"
STARS = {
    "version": "v3",
    "color": "red",
    "caller": "spiffe://td/ns/default/sa/frontend",
    "reviews": [{"reviewer": "Reviewer1", "text": "<b>good</b>"}],
    "ratings": {"ratings": {"Reviewer1": 4}},
}


async def test_the_frontend_sends_the_user_on_whether_from_header_or_cookie() -> None:
    for headers in ({"end_user": "jason"}, {"cookie": "x=1; user=jason"}):
        client = Canned({CATALOG: answered({"name": "Argo"}), REVIEWS: answered(STARS)})
        await Frontend(client)(request("/api/page", **headers))
        assert client.headers[REVIEWS]["end-user"] == client.headers[CATALOG]["end-user"] == "jason"


async def test_signing_in_sets_a_cookie_and_nothing_else_gets_into_it() -> None:
    frontend = Frontend(Canned({}))
    signed = await frontend(request("/sign-in?user=jason"))
    assert signed.headers["set-cookie"].startswith("user=jason;")
    wild = await frontend(request("/sign-in?user=a;b\r\nx"))
    assert wild.headers["set-cookie"].startswith("user=; ")
    assert "Max-Age=0" in wild.headers["set-cookie"]


async def test_the_page_shows_who_answered_and_escapes_what_it_was_told() -> None:
    client = Canned({CATALOG: answered({"name": "Argo", "stock": {"pieces": 7}}), REVIEWS: answered(STARS)})
    html = (await Frontend(client)(request("/"))).body.decode()
    assert 'data-version="v3"' in html
    assert "★★★★☆" in html
    assert "stars red" in html
    assert "spiffe://td/ns/default/sa/frontend" in html
    assert "<b>good</b>" not in html


def test_the_page_stands_when_everything_behind_it_is_away() -> None:
    shown = page.render(
        {"user": "", "catalog": {"error": "catalog answered 503"}, "reviews": {"error": "timed out"}}
    )
    assert "catalog answered 503" in shown
    assert "timed out" in shown
    assert 'data-version="none"' in shown


async def test_the_catalogue_asks_the_inventory_over_grpc() -> None:
    import grpc.aio

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Inventory(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        said = json.loads((await Catalog(channel)(request("/products/0"))).body)
    await server.stop(0)
    assert said["stock"]["pieces"] == 7
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        said = json.loads((await Catalog(channel)(request("/products/0"))).body)
    assert said["stock"]["error"].startswith("UNAVAILABLE")


def test_stock_is_real_protobuf() -> None:
    assert StockRequest(product=5).SerializeToString() == b"\x08\x05"
    told = StockResponse(pieces=7, warehouse="L", caller="c")
    assert StockResponse.FromString(told.SerializeToString()) == told


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_file_is_valid(file: Path) -> None:
    documents = load_documents(file.read_text(), file.name)
    assert documents
    for document in documents:
        verdict = validate(document.object)
        assert verdict.errors == ()


def test_what_is_offered_uses_only_shipped_files_and_absolute_paths(tmp_path: Path) -> None:
    offered = tries("/opt/venv/bin/argosy", tmp_path / "a b", 8080, 4711, "/opt/venv/bin/argosy server")
    assert len(offered) >= 5
    for one in offered:
        for command in (one.command, one.undo):
            words = command.split()
            assert words[0].startswith("/") or words[:3] == ["kill", "-9", "4711"]
            if "--state-dir" in command:
                assert f"--state-dir '{tmp_path}/a b'" in command
            for word in words:
                if word.endswith(".yaml"):
                    assert Path(word).is_file()


def test_the_shop_is_started_as_a_user_would(tmp_path: Path) -> None:
    commands = {member.name: member.command(["argosy"], tmp_path) for member in SHOP}
    assert set(commands) == {
        "frontend-v1",
        "catalog-v1",
        "reviews-v1",
        "reviews-v2",
        "reviews-v3",
        "ratings-v1",
        "inventory-v1",
    }
    assert "--port=9090:auto/grpc" in commands["inventory-v1"]
    assert commands["reviews-v2"][-3:] == ["argosy.demo.reviews", "{port}", "v2"]


async def serving(status: Counter[str]) -> asyncio.Server:
    async def count(seen: Request) -> Response:
        status[seen.path] += 1
        return Response(b"ok")

    return await asyncio.start_server(Server(count).connection, "127.0.0.1", 0)


async def test_the_load_is_steady() -> None:
    seen: Counter[str] = Counter()
    listener = await serving(seen)
    load = Load(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/page", rate=200)
    task = asyncio.create_task(load.run())
    async with asyncio.timeout(BOUND):
        while load.answers[200] < 20:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    listener.close()
    assert set(load.answers) == {200}
    assert seen["/page"] >= 20


async def test_a_burst_sends_what_it_says() -> None:
    seen: Counter[str] = Counter()
    listener = await serving(seen)
    answers = await burst(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/", 50, 10)
    listener.close()
    assert [a.status for a in answers] == [200] * 50
    assert seen["/"] == 50


@pytest.mark.parametrize("module", ["ratings", "frontend", "inventory"])
def test_a_service_starts_serves_and_stops_when_asked(module: str) -> None:
    import socket
    import time

    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", f"argosy.demo.{module}", str(port)], env=dict(os.environ)
    )
    try:
        deadline = time.monotonic() + BOUND
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{module} does not listen"
                assert process.poll() is None
                time.sleep(0.02)
        process.terminate()
        assert process.wait(BOUND) == 0
    finally:
        process.kill()
        process.wait()
