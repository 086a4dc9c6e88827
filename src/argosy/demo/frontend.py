"""The shop's frontend: asks catalogue and reviews at once and makes one page of their answers.

`python -m argosy.demo.frontend PORT`. `/` is the page, `/fragment` the part of it that changes (the page asks for it
each second), `/api/page` the same as JSON, `/sign-in?user=NAME` keeps a user in a cookie. Who is signed in goes on to
the services as header `end-user`.
"""

from __future__ import annotations

import asyncio
import re
import sys

from argosy.demo.page import fragment, render
from argosy.demo.web import Answer, Client, Request, Response, serve

HTML = "text/html; charset=utf-8"
USER = re.compile(r"[a-z0-9-]{1,20}")


def user(request: Request) -> str:
    """From the header `end-user` (curl), else from the cookie (a browser)."""
    if named := request.headers.get("end-user"):
        return named
    for part in request.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == "user" and USER.fullmatch(value):
            return value
    return ""


def told(answer: Answer, host: str) -> dict[str, object]:
    """What a service said, with the time it took; where it failed, why."""
    said = answer.decoded() or {"error": answer.error or f"{host} answered {answer.status}"}
    return {**said, "ms": round(answer.milliseconds, 1)}


class Frontend:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def gather(self, request: Request) -> dict[str, object]:
        headers = request.passed_on()
        if who := user(request):
            headers["end-user"] = who
        catalog, reviews = await asyncio.gather(
            self.client.get("http://catalog:9080/products/0", headers),
            self.client.get("http://reviews:9080/reviews/0", headers),
        )
        return {
            "user": who,
            "caller": request.caller,
            "catalog": told(catalog, "catalog"),
            "reviews": told(reviews, "reviews"),
        }

    async def __call__(self, request: Request) -> Response:
        match request.path:
            case "/":
                return Response(render(await self.gather(request)).encode(), content_type=HTML)
            case "/fragment":
                return Response(fragment(await self.gather(request)).encode(), content_type=HTML)
            case "/api/page":
                return Response.json(await self.gather(request))
            case "/sign-in":
                named = request.query.get("user", "")
                age = "" if USER.fullmatch(named) else "; Max-Age=0"
                cookie = f"user={named if not age else ''}; Path=/; HttpOnly; SameSite=Lax{age}"
                return Response(b"", 303, headers={"location": "/", "set-cookie": cookie})
        return Response.json({"error": f"no such page: {request.path}"}, 404)


if __name__ == "__main__":
    asyncio.run(serve(Frontend(Client()), int(sys.argv[1])))
