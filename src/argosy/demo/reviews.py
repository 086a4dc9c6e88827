"""The shop's reviews, in three versions that one can tell apart: no stars, black stars, red stars.

`python -m argosy.demo.reviews PORT v1|v2|v3`. Versions v2 and v3 ask ratings; v1 asks nobody.
"""

from __future__ import annotations

import asyncio
import sys

from argosy.demo.web import Client, Request, Response, serve

COLOURS = {"v1": "", "v2": "black", "v3": "red"}
REVIEWS = (
    ("Reviewer1", "Carried me through a storm and back. The rigging never let go."),
    ("Reviewer2", "Steers by itself, nearly. I only had to say where to."),
)


class Reviews:
    def __init__(self, version: str, client: Client) -> None:
        self.version = version
        self.client = client

    async def __call__(self, request: Request) -> Response:
        if not request.path.startswith("/reviews/"):
            return Response.json({"error": f"no such page: {request.path}; try /reviews/0"}, 404)
        answer: dict[str, object] = {
            "service": "reviews",
            "version": self.version,
            "caller": request.caller,
            "color": COLOURS[self.version],
            "reviews": [{"reviewer": who, "text": text} for who, text in REVIEWS],
        }
        if COLOURS[self.version]:
            ratings = await self.client.get("http://ratings:9080/ratings/0", request.passed_on())
            answer["ratings"] = ratings.decoded() or {
                "error": ratings.error or f"ratings answered {ratings.status}"
            }
            answer["ratings_ms"] = round(ratings.milliseconds, 1)
        return Response.json(answer)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in COLOURS:
        sys.exit(f"usage: python -m argosy.demo.reviews PORT {'|'.join(COLOURS)}")
    asyncio.run(serve(Reviews(sys.argv[2], Client()), int(sys.argv[1])))
