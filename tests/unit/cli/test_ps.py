"""What `argosy ps` says of a workload, and `argosy logs -f` of a file that grows."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from argosy.agent.protocol import BoundPort, WorkloadStatus
from argosy.cli.logs import appended
from argosy.cli.ps import age, row, troubles

NOW = 1_000_000.0
GOOD = WorkloadStatus(
    name="web-v1",
    namespace="default",
    service="web",
    service_account="web",
    identity="spiffe://x",
    type="sidecar",
    labels={},
    state="running",
    started_at=NOW - 42,
    ports=(BoundPort(workload=80, bind=20001, application=8080, protocol="http"),),
    connected=True,
    announced=True,
    healthy=True,
    inbound=3,
    outbound=2,
    plaintext=1,
    certificate_expires_at=NOW + 100,
)


def test_a_row() -> None:
    assert row(GOOD, NOW) == ["web-v1", "web", "running", "yes", "3", "2", "1", "yes", "42s", "80:8080/http"]


def test_a_gateway_and_another_namespace() -> None:
    gateway = msgspec.structs.replace(
        GOOD, namespace="istio-system", service="", ports=(), port_map={80: 8080}
    )
    assert row(gateway, NOW)[:4] == ["istio-system/web-v1", "-", "running", "-"]
    assert row(gateway, NOW)[-1] == "80=8080"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"healthy": False, "health": "connection refused"}, ["its probe fails: connection refused"]),
        ({"restarts": 2}, ["its sidecar was restarted 2 times"]),
        ({"certificate_problem": "the CA is away"}, ["the CA is away"]),
        ({"certificate_expires_at": NOW - 1}, ["its certificate has expired"]),
        ({"rejected": ("listener x: bad",)}, ["its sidecar refused listener x: bad"]),
        ({}, []),
    ],
)
def test_troubles_are_told(change: dict[str, object], said: list[str]) -> None:
    assert list(troubles(msgspec.structs.replace(GOOD, **change), NOW)) == said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (200_000, "2d")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_log_is_followed_through_growth_and_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    with path.open("rb") as log:
        log.read()
        more = appended(log, path)
        with path.open("ab") as out:
            out.write(b"new\n")
        assert next(more) == b"new\n"
        path.write_bytes(b"cut\n")
        assert next(more) == b"cut\n"
        path.unlink()
        assert list(more) == []
