"""The program as it is called: help, errors, exit codes, and what it does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from argosy.cli import version
from argosy.cli.main import COMMANDS, Deferred, main
from argosy.runtime import preflight

ARGOSY = (sys.executable, "-m", "argosy.cli.main")


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [*ARGOSY, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **environ},
    )


def imported(*arguments: str) -> set[str]:
    """The top-level packages that a call imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "argosy.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def test_help_names_every_command() -> None:
    said = run("--help").stdout
    for name, entry in COMMANDS.items():
        assert name in said
        assert entry.help[:20] in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_has_help(name: str) -> None:
    command = Deferred(name, COMMANDS[name]).load()
    context = typer.Context(command, info_name=name)
    assert command.get_help(context) is not None


@pytest.mark.parametrize("form", [("-o", "json"), ("-ojson",), ("-o=json",), ("--output=json",)])
def test_a_form_is_asked_for_as_with_kubectl(form: tuple[str, ...]) -> None:
    done = run("explain-kind", "vs.spec.hosts", *form)
    assert (done.returncode, done.stdout[:1]) == (0, "{"), done.stderr


def test_help_imports_no_command() -> None:
    modules = imported("--help")
    assert not [m for m in modules if m.startswith("argosy.cli.") and m not in ("argosy.cli.main",)]
    assert not modules & {"grpc", "httpx", "google.protobuf", "starlette", "asyncio", "yaml"}


def test_run_imports_neither_grpc_nor_anything_heavy(tmp_path: Path) -> None:
    # It fails (no server, a state directory that cannot be one), but only after everything was imported.
    file = tmp_path / "file"
    file.write_text("")
    modules = imported("run", "--service=me", f"--state-dir={file}/x", "--", "true")
    assert "argosy.cli.run_session" in modules
    heavy = {
        "grpc",
        "httpx",
        "google.protobuf",
        "starlette",
        "yaml",
        "rich",
        "cryptography",
        "structlog",
        "uvloop",
    }
    assert not modules & heavy


def test_a_failure_is_a_message_and_a_remedy_and_no_traceback(tmp_path: Path) -> None:
    done = run("get", "vs", f"--state-dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == (
        f"argosy: there is no control plane in {tmp_path}\n"
        "  start one: argosy server; or name another with --state-dir or --kubeconfig\n"
    )


def test_what_another_user_forbids_is_a_message_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    for arguments in (["get", "vs", f"--state-dir={tmp_path}"], ["validate", "-f", "x.yaml"]):
        monkeypatch.setattr(sys, "argv", ["argosy", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code == 1
        assert "Permission denied" in said
        assert "another user's" in said


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["nonsense"], 2, "No such command"),
        (["run", "--service=x", "--port=x", "--", "true"], 2, "not a port"),
        (["run", "--service=x"], 2, "CMD"),
        (["get", "nonsense"], 2, "not a kind"),
        (["get", "vs", "-o", "xml"], 2, "not a format"),
        (["apply", "-f", "/nowhere.yaml", "--timeout", "soon"], 2, "not a duration"),
        (["down"], 2, "which workload"),
        (["logs", "x"], 1, "no workload x"),
        (["delete"], 2, "what is to be deleted"),
        (["proxy", "config", "x"], 1, "no workload x"),
        (["proxy", "config", "x", "--type", "y"], 2, "not a type"),
        (["xds", "dump", "-f", "/nowhere.yaml"], 1, "cannot read /nowhere.yaml"),
        (["gateway", "--port", "80=1", "--port", "81=1"], 2, "given twice"),
        (["demo", "--port", "0"], 2, "'--port'"),
        (["server", "--join", "x:1"], 2, "there is no join token"),
        (["server", "--join", "x:1", "--join-token-file", "/nowhere"], 1, "--join-token-file /nowhere"),
        (["server", "--join", "x", "--join-token-file", "/dev/null"], 1, "--join 'x' is not HOST:PORT"),
        (["server", "--join", "x:1", "--join-token-file", "/dev/null"], 1, "holds no join token"),
        (["join-token", "--expires", "never"], 2, "always ends"),
        (["join-token", "--expires", "1s"], 2, "not a time of a minute"),
        (["join-token", "--file", "/nowhere/x"], 1, "name another with --file"),
    ],
)
def test_wrong_usage_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    complaint: str,
) -> None:
    monkeypatch.setenv("ARGOSY_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["argosy", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert (ended.value.code, complaint in said) == (code, True), said


def test_the_state_directory_may_stand_before_the_command(tmp_path: Path) -> None:
    assert str(tmp_path / "here") in run("--state-dir", str(tmp_path / "here"), "get", "vs").stderr


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    shell = f"{' '.join(ARGOSY)} validate -f {tmp_path} -o json | head -c 1"
    for i in range(200):
        (tmp_path / f"{i}.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {}\n")
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "["
    assert "Traceback" not in done.stderr


def test_ps_without_an_agent_is_an_empty_list(tmp_path: Path) -> None:
    done = run("ps", "-o", "json", f"--state-dir={tmp_path}")
    assert (done.returncode, done.stdout.strip()) == (0, "[]")


def test_down_without_an_agent_is_no_error(tmp_path: Path) -> None:
    assert run("down", "--all", f"--state-dir={tmp_path}").returncode == 0


@pytest.mark.parametrize("envoy", ["#!/bin/sh\nexit 1\n", "no program\n", "#!/bin/sh\nexec sleep 60\n"])
def test_an_envoy_that_does_not_run_is_found_by_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, envoy: str
) -> None:
    binary = tmp_path / "envoy"
    binary.write_text(envoy)
    binary.chmod(0o755)
    monkeypatch.setattr(preflight, "envoy_binary", lambda: binary)
    monkeypatch.setattr(version, "ENVOY_SECONDS", 0.5)
    monkeypatch.setattr(sys, "argv", ["argosy", "version", "--check", f"--state-dir={tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "Envoy does not say its version" in capsys.readouterr().err
