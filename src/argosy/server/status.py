"""The status port: /healthz (the process lives), /readyz (it serves a complete configuration), /metrics (Prometheus).

No authentication: it gives numbers, no configuration and no names of workloads; it listens on the loopback unless told.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from argosy.server.metrics import Metrics

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def create_app(metrics: Metrics, not_ready: Callable[[], str]) -> Starlette:
    """`not_ready` says what is missing; "" when everything is there."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_: Request) -> Response:
        missing = not_ready()
        return PlainTextResponse(missing or "ok", 503 if missing else 200)

    async def show_metrics(_: Request) -> Response:
        return Response(metrics.text(), media_type=TEXT_FORMAT)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics)]
    )
