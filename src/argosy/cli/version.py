"""`argosy version`: what is installed, and with --check what this machine lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from argosy.cli.options import Output, StateDir, chosen_output

ENVOY_SECONDS = 20.0  # to say its version; a cold disk has to read all of it


def version(
    check: Annotated[
        bool, typer.Option("--check", help="Name what this machine lacks, with remedies.")
    ] = False,
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Show the versions of Argosy, Envoy and Python; --check says whether this machine can run a mesh."""
    import platform

    from argosy import __version__
    from argosy.cli import documents
    from argosy.runtime import preflight
    from argosy.runtime.errors import Failure
    from argosy.runtime.paths import state_dir as chosen

    form = chosen_output(output)
    versions = {"argosy": __version__, "envoy": envoy_version(), "python": platform.python_version()}
    problems = preflight.examine(preflight.this_machine(chosen(state_dir))) if check else []
    if check and not problems and not versions["envoy"]:
        what = "Envoy does not say its version: it cannot run here"
        problems = [preflight.Problem(what, preflight.REINSTALL_ENVOY)]
    said = versions | ({"problems": [problem.what for problem in problems]} if check else {})
    if not documents.show(form, said):
        for name, value in versions.items():
            print(f"{name:<8}{value or 'missing'}")
    if problems:
        lines = "".join(f"\n  - {problem.what}\n    {problem.remedy}" for problem in problems)
        raise Failure(f"this machine cannot run a mesh:{lines}")
    if check and form == "table":
        print("this machine has what a mesh needs")


def envoy_version() -> str:
    """As the binary says it (`envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`); "" where it cannot run."""
    import subprocess

    from argosy.runtime.preflight import envoy_binary

    binary = envoy_binary()
    if binary is None:
        return ""
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=ENVOY_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    parts = said.partition("version:")[2].strip().split("/")
    return parts[1] if len(parts) > 1 else ""
