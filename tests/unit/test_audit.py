"""What is installed is what was locked, and the audit never says that nothing is known where nothing was asked."""

from __future__ import annotations

import http.server
import importlib.metadata
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
AUDIT = ROOT / "scripts" / "audit"
NOTHING = "http://127.0.0.1:9"  # discard: nobody listens
HASH = "    --hash=sha256:" + "0" * 64


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)
    return {_normal(package): version for package, version in found}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class Database(http.server.BaseHTTPRequestHandler):
    """OSV, as far as it is asked."""

    known: dict[tuple[str, str], list[str]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        results = []
        for query in body["queries"]:
            assert query["package"]["ecosystem"] == "PyPI"
            ids = self.known.get((query["package"]["name"], query["version"]), [])
            results.append({"vulns": [{"id": one} for one in ids]} if ids else {})
        answer = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def database() -> Iterator[tuple[str, dict[tuple[str, str], list[str]]]]:
    """Its address, and what it knows: the fault that the audit tries it with."""
    known = {("urllib3", "1.26.4"): ["PYSEC-2021-108", "GHSA-q2q7-5pp4-w6pg"]}
    handler = type("Knowing", (Database,), {"known": known})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", known
    finally:
        server.shutdown()
        server.server_close()


def audit(*words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, AUDIT, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def folder(path: Path, *lines: str, accepted: str = "") -> str:
    (path / "all.txt").write_text("\n".join(lines) + "\n")
    (path / "accepted.txt").write_text(accepted)
    return f"--requirements={path}"


PLAIN = (f"a-package==1.0 \\\n{HASH}", f"b==2 ; python_version < '3.12' \\\n{HASH}")
ELSEWHERE = "--python=/nowhere"


def test_every_dependency_is_locked_and_what_is_installed_is_what_was_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {
        "run": project["project"]["dependencies"],
        "test": [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]],
        "build": project["build-system"]["requires"],
    }
    for name, wanted in asked.items():
        locked = pins(name)
        for text in wanted:
            requirement = Requirement(text)
            version = locked[_normal(requirement.name)]
            assert requirement.specifier.contains(version), f"{text}: {version} is locked: run scripts/lock"
    assert pins("run").items() <= pins("test").items(), "users get what the tests ran with"
    for name, version in pins("test").items():
        try:
            assert importlib.metadata.version(name) == version, f"{name}: run scripts/setup test"
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python


def test_the_lock_files_are_whole() -> None:
    code, said = audit(f"--database={NOTHING}")
    assert code == 0, said
    assert "NOT AUDITED" in said


def test_where_nobody_answers_it_says_that_nothing_was_audited() -> None:
    code, said = audit(f"--database={NOTHING}", "--require-database")
    assert code == 3
    assert "NOT AUDITED" in said
    assert "no fault" not in said


def test_a_database_that_knows_nothing_is_not_believed(
    tmp_path: Path, database: tuple[str, dict[tuple[str, str], list[str]]]
) -> None:
    where, known = database
    known.clear()
    code, said = audit(f"--database={where}", "--require-database", ELSEWHERE, folder(tmp_path, *PLAIN))
    assert code == 3
    assert "it does not know PYSEC-2021-108" in said


def test_what_is_known_is_told(
    tmp_path: Path, database: tuple[str, dict[tuple[str, str], list[str]]]
) -> None:
    where, known = database
    words = (f"--database={where}", "--require-database", ELSEWHERE)
    code, said = audit(*words, folder(tmp_path, *PLAIN))
    assert (code, "no fault of them is known" in said) == (0, True)
    known["b", "2"] = ["GHSA-1"]
    code, said = audit(*words, folder(tmp_path, *PLAIN))
    assert code == 1
    assert "b 2: GHSA-1" in said
    assert "no fault" not in said
    reason = "GHSA-1 until 2999-01-01: not reachable from here"
    code, said = audit(*words, folder(tmp_path, *PLAIN, accepted=reason))
    assert (code, "not reachable from here" in said) == (0, True)
    late = "GHSA-1 until 2001-01-01: not reachable from here"
    code, said = audit(*words, folder(tmp_path, *PLAIN, accepted=late))
    assert code == 1
    assert "accepted until 2001-01-01: look at it again" in said


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (("a==1",), "a has no hash"),
        (("a==1", f"b==2 \\\n{HASH}"), "a has no hash"),
        (("a>=1",), "a>=1 is neither"),
        ((f"a @ https://elsewhere/a.whl \\\n{HASH}",), "is neither"),
        ((f"a==1 \\\n{HASH}", f"a==2 \\\n{HASH}"), "a stands there twice"),
        ((f"a==1 \\\n    --hash=md5:{'0' * 32}",), "is neither"),
        (("--index-url=https://elsewhere",), "is neither"),
        ((), "names no package"),
    ],
)
def test_a_lock_file_that_does_not_bind_is_refused(
    tmp_path: Path, lines: tuple[str, ...], problem: str
) -> None:
    code, said = audit(f"--database={NOTHING}", ELSEWHERE, folder(tmp_path, *lines))
    assert code == 1
    assert problem in said


def test_another_version_than_the_locked_one_is_told(tmp_path: Path) -> None:
    words = (f"--database={NOTHING}", f"--python={sys.executable}")
    code, said = audit(*words, folder(tmp_path, f"pytest==0.1 \\\n{HASH}"))
    assert code == 1
    assert f"pytest {importlib.metadata.version('pytest')} is installed, and 0.1 is locked" in said


def test_setup_installs_by_hash_alone() -> None:
    text = (ROOT / "scripts" / "setup").read_text()
    installs = re.findall(r"-m pip install((?:.|\\\n)*?)(?:&&|;|\n\s*then)", text)
    assert len(installs) == 2
    assert all("--no-deps" in one for one in installs)
    assert all("--require-hashes" in one or "--no-build-isolation" in one for one in installs)
