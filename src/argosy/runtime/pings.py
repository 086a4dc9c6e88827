"""How a gRPC connection finds out that its peer is gone without a word: by HTTP/2 pings."""

from __future__ import annotations


def pings(every: float, timeout: float, *, idle: bool = True) -> tuple[tuple[str, int], ...]:
    """Options of a channel or server that pings a silent peer after `every` seconds, and gives the connection up
    where no answer comes within `timeout` seconds. `idle`: also while no call is open (etcd cuts who does so).

    Facts (gRPC 1.85, tried): `keepalive_timeout_ms` by itself has no effect, `http2.ping_timeout_ms` counts, whose
    default is a minute; `max_pings_without_data` other than 0 makes pings rare where little else is sent.
    """
    return (
        ("grpc.keepalive_time_ms", int(every * 1000)),
        ("grpc.keepalive_timeout_ms", int(timeout * 1000)),
        ("grpc.http2.ping_timeout_ms", int(timeout * 1000)),
        ("grpc.keepalive_permit_without_calls", int(idle)),
        ("grpc.http2.max_pings_without_data", 0),
    )
