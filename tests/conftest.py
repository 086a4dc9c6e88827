"""For all tests: which of those that run side by side stay together; no random test is judged by its time."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings
from xdist.dsession import LoadScopeScheduling

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Where a shell runs the tests in the background: all that they start would not hear of Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("argosy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("argosy")

TOGETHER = {
    "tests/e2e/test_cli.py": "one mesh",
    "tests/e2e/test_demo.py": "one demo; and demos take the control plane's default ports",
    "tests/e2e/test_protocols.py": "one mesh",
    "tests/e2e/test_traffic.py": "one mesh",
    "tests/servers/test_access.py": "one server",
    "tests/servers/test_commands.py": "one server",
    "tests/servers/test_join.py": "one server",
}
"""The files whose tests share what is dear to start (a fixture of their module), or would be in each other's way."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Files of TOGETHER each go to one worker, first; every other test to whichever worker is free."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """For `--dist loadgroup`: its own marks do nothing under pytest 9.2 (xdist 3.8 writes to a name that is gone)."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None
