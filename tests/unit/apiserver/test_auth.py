"""Nobody gets past without a token, and the token is kept as a secret."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket

from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User, bearer_tokens, token_file
from argosy.apiserver.status import Refusal
from argosy.runtime.errors import Failure
from argosy.store.memory import MemoryStore
from tests.unit.apiserver.conftest import REVIEWS, TOKEN


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        TOKEN,
        "Bearer \xff",
    ],
)
async def test_without_the_token_everything_is_401(api: httpx.AsyncClient, header: str | None) -> None:
    del api.headers["authorization"]
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]
    for method, path in (
        ("GET", REVIEWS),
        ("GET", "/apis"),
        ("GET", "/version"),
        ("DELETE", REVIEWS),
        ("GET", "/x"),
    ):
        response = await api.request(method, path, headers=headers)
        status = response.json()
        assert (response.status_code, status["reason"], status["kind"]) == (401, "Unauthorized", "Status")
        assert response.headers["www-authenticate"] == "Bearer"


async def test_health_needs_no_token(api: httpx.AsyncClient) -> None:
    del api.headers["authorization"]
    for path in ("/healthz", "/livez", "/readyz"):
        assert (await api.get(path)).text == "ok"


def test_a_token_is_its_users() -> None:
    users = {TOKEN: User("ada"), "another-long-token": User("bob")}
    authenticate = bearer_tokens(users)
    for token, user in users.items():
        scope = {"type": "http", "headers": [(b"authorization", f"bearer {token}".encode())]}
        assert authenticate(Request(scope)) == user


async def whoami(request: Request) -> JSONResponse:
    return JSONResponse({"name": request.user.name, "groups": request.user.groups})


async def refuse(request: Request) -> JSONResponse:
    raise Refusal(409, "not now")


async def chat(socket: WebSocket) -> None:
    await socket.accept()


ROUTES = [
    Route("/argosy/whoami", whoami),
    Route("/argosy/refuse", refuse),
    WebSocketRoute("/argosy/chat", chat),
]


async def test_extra_routes_stand_behind_the_same_door_and_refuse_in_the_same_way() -> None:
    app = create_app(
        MemoryStore(), authenticate=bearer_tokens({TOKEN: User("ada", ("operators",))}), extra_routes=ROUTES
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as api:
        assert (await api.get("/argosy/whoami")).status_code == 401
        api.headers["authorization"] = f"Bearer {TOKEN}"
        assert (await api.get("/argosy/whoami")).json() == {"name": "ada", "groups": ["operators"]}
        for method, path, code, reason in (
            ("GET", "/argosy/refuse", 409, "Conflict"),
            ("POST", "/argosy/whoami", 405, "MethodNotAllowed"),
        ):
            response = await api.request(method, path)
            assert (response.status_code, response.json()["reason"]) == (code, reason)


async def everybody_is_ada(_: Request) -> User:
    return User("ada")


async def test_a_websocket_does_not_slip_past() -> None:
    app = create_app(MemoryStore(), authenticate=everybody_is_ada, extra_routes=ROUTES)
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    await app({"type": "websocket", "path": "/argosy/chat", "headers": []}, receive, send)
    assert [message["type"] for message in said] == ["websocket.close"]


def test_a_token_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = token_file(path)
    assert len(token) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token_file(path) == token
    assert token_file(tmp_path / "other") != token


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        ("a-long-enough-token", 0o644, "others may read"),
        ("a-long-enough-token", 0o620, "others may read"),
        ("short", 0o600, "holds no token"),
        ("", 0o600, "holds no token"),
        ("two words with\nlines in it", 0o600, "holds no token"),
        ("ünïcödé-long-enough", 0o600, "holds no token"),
    ],
)
def test_a_token_file_that_is_none_is_refused_without_saying_what_it_holds(
    tmp_path: Path, content: str, mode: int, says: str
) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(Failure, match=says) as refused:
        token_file(path)
    assert str(path) in str(refused.value)
    assert not content or content not in str(refused.value)
