"""How many CSRs are signed per second and core, and how long is it until 1,000 workloads hold certificates again?

In process: the way of a request through the service (JSON, registrations, policies, signature, JSON), without network,
logs and records. Over the network: a server with the role ca, and 1,000 workloads in another process that come at once,
each with a key of its own and a TLS connection of its own, as after a restart of everything.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import msgspec

from argosy.identity import client as identity
from argosy.identity.authority import open_authority
from argosy.identity.issuing import IssuingPolicy
from argosy.identity.names import Identity
from argosy.identity.protocol import SignRequest
from argosy.runtime import log
from argosy.runtime.certificates import request_key

REQUESTS = 3000
WORKLOADS = 1000
ROUNDS = 3
AT_ONCE = 100
Row = tuple[str, str, str]


def request(number: int) -> tuple[SignRequest, str]:
    key, csr = identity.new_key_and_csr()
    name = f"reviews-{number}"
    asked = SignRequest(
        csr=csr, namespace="shop", service_account="reviews", workload=name, app="reviews", version="v1"
    )
    return asked, key


def rate(run: object, count: int) -> float:
    """The best of some rounds, per second of CPU: others use this machine, too."""
    assert callable(run)
    best = 0.0
    for _ in range(ROUNDS):
        began = time.process_time()
        run()
        best = max(best, count / (time.process_time() - began))
    return best


def in_process(folder: Path) -> list[Row]:
    from argosy.identity.proofs import Registration, Tokens, unix_user
    from argosy.identity.service import CertificateAuthorityService

    authority = open_authority(folder / "ca", "cluster.local")
    registrations = [Registration(name="me", unix_uid=os.getuid(), service_accounts=("shop/*",))]
    service = CertificateAuthorityService(authority, Tokens(), lambda: registrations)
    service.policies = lambda: [IssuingPolicy(name="p", allow=("shop/*",), maximum_ttl=86400)]
    bodies = [msgspec.json.encode(request(number)[0]) for number in range(REQUESTS)]
    asked = [msgspec.json.decode(body, type=SignRequest) for body in bodies]
    who = Identity(trust_domain="cluster.local", namespace="shop", service_account="reviews", workload="w")
    proven = unix_user(os.getuid())

    def whole() -> None:
        for body in bodies:
            msgspec.json.encode(service.sign_for(proven, msgspec.json.decode(body, type=SignRequest)))

    def authority_alone() -> None:
        for one in asked:
            authority.sign(one.csr, who)

    def csr_alone() -> None:
        for one in asked:
            request_key(one.csr)

    return [
        (
            "CSRs signed per second and core, the whole request in process",
            f"{rate(whole, REQUESTS):,.0f}",
            "3,000",
        ),
        (
            "… of it the authority alone (check of the CSR, certificate, PEM)",
            f"{rate(authority_alone, REQUESTS):,.0f}",
            "-",
        ),
        ("… of that the check of the CSR alone", f"{rate(csr_alone, REQUESTS):,.0f}", "-"),
    ]


# --- a restart of 1,000 workloads --------------------------------------------------------------------------------


def _serve(state: str, pipe: object) -> None:
    """The server, in a process of its own, whose CPU is told at the end."""
    from argosy.server.process import ControlPlane
    from argosy.server.settings import Address, Settings

    log.configure("error", "json")

    async def main() -> None:
        any_port = Address("127.0.0.1", 0)
        folder = Path(state)
        chosen = Settings(
            state=folder,
            api=any_port,
            xds=any_port,
            ca=any_port,
            status=any_port,
            attest_socket=folder / "a.sock",
        )
        plane = ControlPlane(chosen)
        await plane.start()
        before = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send(str(folder / "a.sock"))  # type: ignore[attr-defined]
        await asyncio.to_thread(pipe.recv)  # type: ignore[attr-defined]
        after = resource.getrusage(resource.RUSAGE_SELF)
        recorded = len(await plane.certificates.all())
        pipe.send((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, recorded))  # type: ignore[attr-defined]
        await plane.stop()

    asyncio.run(main())


async def _restart(socket: str) -> tuple[float, float]:
    """(seconds until all hold certificates, of them the slowest)."""
    gate, slowest = asyncio.Semaphore(AT_ONCE), 0.0
    prepared = [request(number) for number in range(WORKLOADS)]
    began = time.monotonic()

    async def one(asked: SignRequest, key: str) -> None:
        nonlocal slowest
        async with gate:
            at = time.monotonic()
            while True:
                try:
                    proof = await identity.attest(socket, timeout=60)
                    break
                except identity.Unreachable:  # it takes 64 callers at once; agents come again
                    await asyncio.sleep(0.2)
            async with identity.channel(proof.ca_address, proof.bundle) as channel:
                identity.svid(await identity.sign(channel, asked, proof.token, timeout=60), key)
            slowest = max(slowest, time.monotonic() - at)

    await asyncio.gather(*(one(asked, key) for asked, key in prepared))
    return time.monotonic() - began, slowest


def restart(folder: Path) -> list[Row]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    server = spawn.Process(target=_serve, args=(str(folder / "state"), theirs), daemon=True)
    server.start()
    socket = ours.recv()
    took, slowest = asyncio.run(_restart(socket))
    time.sleep(1.0)  # what is recorded beside the answers is written
    ours.send("")
    cpu, recorded = ours.recv()
    server.join(30)
    return [
        (
            f"{WORKLOADS:,} workloads that start at once ({AT_ONCE} at a time): until all hold certificates",
            f"{took:.1f} s",
            "-",
        ),
        ("… the slowest of them, from its proof to its certificate", f"{slowest * 1000:.0f} ms", "-"),
        ("… CPU of the server for each", f"{cpu / WORKLOADS * 1000:.2f} ms", "-"),
        ("… recorded in the store a second later", f"{recorded:,}", f"{WORKLOADS:,}"),
    ]


def run() -> list[Row]:
    log.configure("error", "json")
    with tempfile.TemporaryDirectory() as folder:
        return in_process(Path(folder)) + restart(Path(folder))
