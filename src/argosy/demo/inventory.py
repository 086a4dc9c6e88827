"""The shop's inventory, over gRPC. `python -m argosy.demo.inventory PORT`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio

from argosy.demo.stock import METHOD, StockRequest, StockResponse
from argosy.demo.web import Request, stop_event

PIECES = {0: 7}


async def stock(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
    metadata = {name.lower(): str(value) for name, value in context.invocation_metadata() or ()}
    caller = Request("POST", METHOD, {}, metadata).caller
    return StockResponse(pieces=PIECES.get(request.product, 0), warehouse="Lemnos", caller=caller)


class Inventory(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs alone
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(
            stock, StockRequest.FromString, StockResponse.SerializeToString
        )


async def main(port: int) -> None:
    stop = stop_event()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Inventory(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await stop.wait()
    await server.stop(5)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
