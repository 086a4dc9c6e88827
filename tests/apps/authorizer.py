"""Who is asked, for the tests of CUSTOM: authorizer.py PORT --protocol http|grpc.

Allows what has `x-allow: yes`, and connections from any address; what it allows gets `x-checked: PROTOCOL`, what it
denies an answer of 418 with `x-denied: PROTOCOL`.
"""

from __future__ import annotations

import argparse
import asyncio

import grpc
import grpc.aio
from envoy.service.auth.v3 import external_auth_pb2 as auth_pb2


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length:")[2].split("\r\n")[0].strip()
            await reader.readexactly(int(length or "0"))
            allowed = "x-allow: yes" in head
            first = "200 OK\r\nx-checked: http" if allowed else "418 X\r\nx-denied: http"
            writer.write(f"HTTP/1.1 {first}\r\ncontent-length: 0\r\n\r\n".encode())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Check(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:  # type: ignore[type-arg]
        if details.method != "/envoy.service.auth.v3.Authorization/Check":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=auth_pb2.CheckRequest.FromString,
            response_serializer=auth_pb2.CheckResponse.SerializeToString,
        )

    async def check(self, request: auth_pb2.CheckRequest, context: object) -> auth_pb2.CheckResponse:
        asked = request.attributes.request.http
        out = auth_pb2.CheckResponse()
        if not asked.method or asked.headers.get("x-allow") == "yes":
            out.ok_response.headers.add().header.MergeFrom(_header("x-checked"))
            return out
        out.status.code = grpc.StatusCode.PERMISSION_DENIED.value[0]
        out.denied_response.status.code = 418
        out.denied_response.headers.add().header.MergeFrom(_header("x-denied"))
        return out


def _header(name: str):  # type: ignore[no-untyped-def]
    from envoy.config.core.v3 import base_pb2

    return base_pb2.HeaderValue(key=name, value="grpc")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--protocol", default="http")
    options = parser.parse_args()
    if options.protocol == "grpc":
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Check(),))
        server.add_insecure_port(f"127.0.0.1:{options.port}")
        await server.start()
        await server.wait_for_termination()
    listener = await asyncio.start_server(http, "127.0.0.1", options.port)
    async with listener:
        await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
