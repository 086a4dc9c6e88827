"""The key of the secrets changed under a server that runs, as docs/store.md says it may be."""

from __future__ import annotations

import json
from pathlib import Path

from tests.servers.server_process import running_server

SECRET = (
    '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "correct-horse"}}'
)


def test_a_new_key_is_taken_up_by_the_server_that_runs(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.ok("apply", "-f", "-", stdin=SECRET)
        for _ in range(2):
            assert "1 secrets are sealed" in server.ok("store", "reseal", "--new-key")
            found = json.loads(server.ok("get", "secret", "s", "-o", "json"))
            assert found["data"] == {"a": "Y29ycmVjdC1ob3JzZQ=="}
        server.ok("apply", "-f", "-", stdin=SECRET.replace("correct", "other"))
        assert server.process.poll() is None
        assert "Traceback" not in server.log.read_text()
    assert "a part of the server failed" not in server.log.read_text()
