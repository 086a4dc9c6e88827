"""The shop's catalogue: what is on sale; asks the inventory, over gRPC, how many pieces there are.

`python -m argosy.demo.catalog PORT`. gRPC goes where `grpc_proxy` (or `http_proxy`) says, by CONNECT.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import grpc.aio

from argosy.demo.stock import METHOD, StockRequest, StockResponse
from argosy.demo.web import Request, Response, serve

PRODUCT = {
    "name": "The Argo",
    "text": "A fifty-oared galley of Dodona oak. Speaks when it matters. Has been to Colchis and back.",
    "price": "1 fleece, golden",
}


class Catalog:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stock: Any = channel.unary_unary(
            METHOD, StockRequest.SerializeToString, StockResponse.FromString
        )

    async def __call__(self, request: Request) -> Response:
        if not request.path.startswith("/products/"):
            return Response.json({"error": f"no such page: {request.path}; try /products/0"}, 404)
        answer = {"service": "catalog", "version": "v1", "caller": request.caller, **PRODUCT}
        began = time.perf_counter()
        metadata = tuple(request.passed_on().items())
        try:
            found = await self.stock(StockRequest(product=0), metadata=metadata, timeout=5)
        except grpc.aio.AioRpcError as error:
            stock: dict[str, object] = {"error": f"{error.code().name}: {error.details()}"}
        else:
            stock = {"service": "inventory", "version": "v1", "pieces": found.pieces, "caller": found.caller}
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        return Response.json({**answer, "stock": stock, "stock_ms": milliseconds})


async def main(port: int) -> None:
    async with grpc.aio.insecure_channel("dns:///inventory:9090") as channel:
        await serve(Catalog(channel), port)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
