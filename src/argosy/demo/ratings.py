"""The shop's ratings: how many stars each reviewer gave. `python -m argosy.demo.ratings PORT`."""

from __future__ import annotations

import asyncio
import sys

from argosy.demo.web import Request, Response, serve

STARS = {"Reviewer1": 5, "Reviewer2": 4}


async def ratings(request: Request) -> Response:
    if not request.path.startswith("/ratings/"):
        return Response.json({"error": f"no such page: {request.path}; try /ratings/0"}, 404)
    return Response.json({"service": "ratings", "version": "v1", "caller": request.caller, "ratings": STARS})


if __name__ == "__main__":
    asyncio.run(serve(ratings, int(sys.argv[1])))
