"""The application of the end-to-end tests: echo.py PORT [--name N] [--protocol http|tcp|grpc].

HTTP (asyncio, HTTP/1.1 with keep-alive) answers every request with what it saw, as JSON. What it does is steered by
the request: `x-delay-ms` waits, `/status/N` answers N, `/flaky` fails on the process that was started with `--flaky`.
An `Upgrade: websocket` request is answered by 101 and echoes bytes from then on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal

import grpc
import grpc.aio


class Http:
    def __init__(self, name: str, flaky: bool) -> None:
        self.name = name
        self.flaky = flaky
        self.active = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readline()).strip() or b"0", 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("upgrade", "").lower() == "websocket":
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            )
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
            return False
        self.active += 1
        try:
            if delay := headers.get("x-delay-ms"):
                await asyncio.sleep(int(delay) / 1000)
        finally:
            self.active -= 1
        status = 200
        if path.startswith("/status/"):
            status = int(path.split("/")[2].partition("?")[0])
        elif path.startswith("/flaky") and self.flaky:
            status = 503
        seen = {
            "name": self.name,
            "pid": os.getpid(),
            "method": method,
            "path": path,
            "headers": headers,
            "names": [line.partition(":")[0] for line in lines],
            "body": body.decode("latin-1"),
        }
        payload = json.dumps(seen).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nx-served-by: {self.name}\r\n"
            f"content-length: {len(payload)}\r\n\r\n".encode()
            + payload
        )
        await writer.drain()
        return True


async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


class Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """`/test.Echo/Unary` and `/test.Echo/Stream`: bytes back, with the name in trailing metadata."""

    def __init__(self, name: str) -> None:
        self.name = name

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:  # type: ignore[type-arg]
        if details.method == "/test.Echo/Unary":
            return grpc.unary_unary_rpc_method_handler(self.unary)
        if details.method == "/test.Echo/Stream":
            return grpc.stream_stream_rpc_method_handler(self.stream)
        return None

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        context.set_trailing_metadata((("served-by", self.name),))
        return request

    async def stream(self, requests, context):  # type: ignore[no-untyped-def]
        async for request in requests:
            yield request


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--name", default="echo")
    parser.add_argument("--protocol", default="http")
    parser.add_argument("--flaky", action="store_true")
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--exit-file", help="written when asked to stop, with the number of active requests")
    options = parser.parse_args()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.protocol == "grpc":
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Echo(options.name),))
        server.add_insecure_port(f"{options.bind}:{options.port}")
        await server.start()
        await stop.wait()
        await server.stop(0)
        return
    http = Http(options.name, options.flaky)
    listener = await asyncio.start_server(
        http.serve if options.protocol == "http" else tcp, options.bind, options.port
    )
    await stop.wait()
    if options.exit_file:
        with open(options.exit_file, "w") as out:  # noqa: ASYNC230, PTH123
            out.write(str(http.active))
    listener.close()


if __name__ == "__main__":
    asyncio.run(main())
