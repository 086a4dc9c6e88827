"""The commands that people configure the mesh with, as processes, against a server of its own process."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.mesh import until
from tests.servers.server_process import ARGOSY, Server, running_server

WITHIN = 30.0
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {user: ada, password: %s}\n"


def route(name: str, timeout: str = "3s", namespace: str = "default", **labels: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}, labels: {json.dumps(labels)}}}
spec:
  hosts: [{name}]
  http: [{{timeout: {timeout}, route: [{{destination: {{host: {name}}}}}]}}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def started(server: Server, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ARGOSY_", "KUBE"))}
    own = {"ARGOSY_STATE_DIR": str(server.state), "NO_COLOR": "1", **environment}
    return subprocess.Popen(
        [*ARGOSY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True, env=clean | own, cwd=server.folder, start_new_session=True,
    )  # fmt: skip


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


# --- diff and apply ---


def test_diff_says_what_apply_would_change_and_then_that_nothing_is_left(server: Server) -> None:
    text = NAMESPACE % "fresh" + "---" + route("one") + "---" + route("two", namespace="fresh")
    done = server.argosy("diff", "-f", "-", stdin=text)
    assert done.returncode == 1, done.stderr
    assert [each for each in done.stdout.splitlines() if each.startswith("+++")] == [
        "+++ applied/Namespace fresh",
        "+++ applied/VirtualService default/one",
        "+++ applied/VirtualService fresh/two",
    ]
    assert "one" not in server.argosy("get", "vs", "one").stdout, "nothing was written"
    server.ok("apply", "-f", "-", stdin=text)
    done = server.argosy("diff", "-f", "-", stdin=text)
    assert (done.returncode, done.stdout) == (0, "")
    done = server.argosy("diff", "-f", "-", stdin=route("one", "5s"))
    assert done.returncode == 1
    changed = [
        each for each in done.stdout.splitlines() if each[:1] in "+-" and each[:3] not in ("+++", "---")
    ]
    assert [each.strip() for each in changed] == ["-    timeout: 3s", "+    timeout: 5s"]
    (told,) = json.loads(server.argosy("diff", "-f", "-", "-o", "json", stdin=route("one", "5s")).stdout)
    assert (told["outcome"], told["patch"]["spec"]["http"][0]["timeout"]) == ("configured", "5s")


def test_what_comes_in_the_same_files_is_not_missed(server: Server) -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: 80}]}\n"
    both = route("coming") + "---\n" + service % "coming"
    for command in (("diff",), ("apply", "--dry-run=server"), ("apply",)):
        done = server.argosy(*command, "-f", "-", stdin=both)
        assert "warning" not in done.stderr, command
    text = route("missed") + "---\n" + service % "other"
    for command in (("diff",), ("apply", "--dry-run=server"), ("apply",)):
        done = server.argosy(*command, "-f", "-", stdin=text)
        assert done.stderr.count("no service has this host") == 1, command


def test_apply_warns_of_what_analyze_finds(server: Server) -> None:
    insecure = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: out}\n"
        "spec: {host: out, trafficPolicy: {tls: {mode: SIMPLE}}}\n"
    )
    done = server.argosy("apply", "--dry-run=server", "-f", "-", stdin=insecure)
    for part in ("no service has this host", "(IST0174)", "(IST0128)"):
        assert done.stderr.count(part) == 1, done.stderr
    found = json.loads(server.argosy("analyze", "--live", "-f", "-", "-o", "json", stdin=insecure).stdout)
    assert {("IST0174", "DestinationRule out"), ("IST0128", "DestinationRule out")} <= {
        (each["code"], each["origin"]) for each in found
    }


def test_analyze_of_what_the_server_has_and_of_files_laid_over_it(server: Server) -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: analysed}\n"
    service += "spec: {ports: [{name: http, port: 80}]}\n"
    text = NAMESPACE % "analysed" + "---" + route("held", namespace="analysed")
    server.ok("apply", "-f", "-", stdin=text)

    def found(*arguments: str, stdin: str = "") -> tuple[int, list[tuple[str, str]]]:
        done = server.argosy("analyze", *arguments, "-o", "json", stdin=stdin)
        return done.returncode, [(each["code"], each["origin"]) for each in json.loads(done.stdout)]

    missing = ("IST0101", "VirtualService analysed/held")
    assert found("-n", "analysed") == (1, [missing])
    assert missing in found("-A")[1]
    assert found("-n", "default", "--failure-threshold", "Error")[1].count(missing) == 0
    assert found("-n", "analysed", "--live", "-f", "-", stdin=service % "held") == (0, [])
    assert missing in found("-n", "analysed", "--live", "-f", "-", stdin=service % "other")[1]


def test_diff_shows_that_a_secret_differs_and_not_what_it_is(server: Server) -> None:
    server.ok("apply", "-f", "-", stdin=SECRET % "swordfish")
    for form in ("text", "json", "yaml"):
        done = server.argosy("diff", "-f", "-", "-o", form, stdin=SECRET % "trout-mask")
        assert (done.returncode, "*** (after)" in done.stdout) == (1, True)
        for value in ("swordfish", "trout-mask", "c3dvcmRmaXNo", "dHJvdXQtbWFzaw=="):
            assert value not in done.stdout + done.stderr
    described = server.ok("describe", "secret", "s")
    assert "password: 9 bytes" in described
    assert "c3dvcmRmaXNo" not in described


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (("-f", "/nowhere.yaml"), "", "cannot read"),
        (("-f", "-"), route("bad", "soon"), "spec.http[0].timeout"),
        (("-f", "-"), route("lost", namespace="nowhere"), "nowhere"),
        (("-f", "-", "-o", "xml"), "", "not a format"),
        (("-f", "-", "--kubeconfig", "/nowhere"), route("one"), "/nowhere"),
    ],
)
def test_trouble_is_no_difference(server: Server, arguments: tuple[str, ...], text: str, said: str) -> None:
    done = server.argosy("diff", *arguments, stdin=text)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_apply_without_writing_and_in_a_namespace(server: Server) -> None:
    done = server.argosy("apply", "-f", "-", "--dry-run=server", stdin=route("dry"))
    assert (done.returncode, done.stdout) == (0, "VirtualService default/dry created (server dry run)\n")
    assert server.argosy("get", "vs/dry").returncode == 1
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: here}\nspec: {ports: [{port: 80}]}\n"
    server.ok("apply", "-f", "-", stdin=NAMESPACE % "there")
    assert "there/here created" in server.ok("apply", "-f", "-", "-n", "there", stdin=text)
    done = server.argosy("apply", "-f", "-", "-n", "there", stdin=route("dry"))
    assert (done.returncode, "is not in namespace there" in done.stderr) == (2, True)
    written = server.argosy("apply", "-f", "-", "-o", "json", stdin=route("printed"))
    assert json.loads(written.stdout)["metadata"]["name"] == "printed"


# --- get ---


def test_get_in_all_its_forms(server: Server) -> None:
    rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: a}\n"
    server.ok("apply", "-f", "-", stdin=f"{route('a', app='x')}---{route('b')}---\n{rule}")
    names = "virtualservice.networking.istio.io/a\ndestinationrule.networking.istio.io/a\n"
    assert server.ok("get", "vs/a", "dr/a", "-o", "name") == names
    assert server.ok("get", "vs,dr", "--field-selector", "metadata.name=a", "-o", "name") == names
    assert server.ok("get", "vs", "-l", "app=x", "-o", "jsonpath={.items[*].metadata.name}") == "a\n"
    assert server.ok("get", "vs", "a", "-o", "jsonpath={.spec.hosts[0]}") == "a\n"
    listed = yaml.safe_load(server.ok("get", "vs,dr", "-o", "yaml"))
    assert {each["kind"] for each in listed["items"]} == {"VirtualService", "DestinationRule"}
    assert json.loads(server.ok("get", "vs", "a", "b", "-o", "json"))["kind"] == "List"
    assert "NAMESPACE" in server.ok("get", "vs", "-A").splitlines()[0]
    done = server.argosy("get", "vs", "a", "nobody")
    assert (done.returncode, "a " in done.stdout, "default/nobody" in done.stderr) == (1, True, True)
    assert server.ok("get", "vs", "nobody", "--ignore-not-found") == ""


def test_get_watches_until_it_is_interrupted(server: Server) -> None:
    server.ok("apply", "-f", "-", stdin=route("watched", "1s"))
    template = "{.metadata.name} {.spec.http[0].timeout}"
    process = started(server, "get", "vs", "watched", "-w", "-o", f"jsonpath={template}")
    try:
        assert line(process) == "watched 1s"
        server.ok("apply", "-f", "-", stdin=route("watched", "2s"))
        until(lambda: line(process) == "watched 2s", "the change was not told")
        server.ok("delete", "vs", "watched")
        assert process.stderr is not None
        assert "VirtualService default/watched was deleted" in process.stderr.readline()
    finally:
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=WITHIN)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in err) == (130, False)


# --- wait ---


def test_wait_for_what_happens_later(server: Server) -> None:
    waiting = started(server, "wait", "vs/later", "--for=create", "--timeout", "60s")
    server.ok("apply", "-f", "-", stdin=route("later", "1s"))
    out, err = waiting.communicate(timeout=WITHIN)
    assert (waiting.returncode, out) == (0, "VirtualService default/later: created\n"), err
    assert "Programmed=True" in server.ok("wait", "vs", "later", "--timeout", "30s")
    waiting = started(
        server, "wait", "vs/later", "--for=jsonpath={.spec.http[0].timeout}=9s", "--timeout=60s"
    )
    server.ok("apply", "-f", "-", stdin=route("later", "9s"))
    assert (waiting.wait(WITHIN)) == 0
    (server.folder / "given.yaml").write_text(route("later"))
    waiting = started(server, "wait", "-f", "given.yaml", "--for=delete", "--timeout", "60s")
    server.ok("delete", "vs/later")
    assert waiting.wait(WITHIN) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("vs/nobody", "--for=create", "--timeout", "300ms"), 2, "it is not there"),
        (("ns/default", "--for=delete", "--timeout", "300ms"), 2, "still there"),
        (("ns/default", "--for=condition=Odd", "--timeout", "300ms"), 2, "no condition Odd"),
        (("ns/default", "--for=jsonpath={.metadata.name}=x", "--timeout", "0"), 2, "it is default"),
        (("vs/nobody",), 1, "not there"),
        (("vs/nobody", "--for=delete"), 0, ""),
        (("wasmplugins", "--all", "--for=delete"), 0, ""),
        (("wasmplugins", "--all"), 1, "no such object"),
        (("ns/default",), 0, ""),
        (("ns/nobody",), 1, "not there"),
        (("ns/default", "--for=condition=Programmed", "--timeout", "300ms"), 2, "no condition Programmed"),
        (("vs/x", "--for=soon"), 2, "not a goal"),
        (("vs",), 2, "which virtualservices"),
    ],
)
def test_wait_ends_with_a_code_that_says_how(
    server: Server, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = server.argosy("wait", *arguments)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False), (
        done.stderr
    )


def test_wait_for_a_file_with_all_that_belongs_to_a_service(server: Server) -> None:
    """Only the mesh's own kinds are programmed: the others need only be there."""
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: whole}\nspec: {ports: [{port: 80}]}\n"
    (server.folder / "whole.yaml").write_text("---\n".join([NAMESPACE % "whole", service, route("whole")]))
    server.ok("apply", "-f", "whole.yaml")
    assert server.ok("wait", "-f", "whole.yaml").splitlines() == [
        "Namespace whole: there",
        "Service default/whole: there",
        "VirtualService default/whole: Programmed=True",
    ]


# --- describe ---


def test_describe_tells_status_proxies_and_events(server: Server) -> None:
    server.ok("apply", "-f", "-", stdin=route("told", app="x"))
    server.ok("wait", "vs/told")
    uid = server.ok("get", "vs/told", "-o", "jsonpath={.metadata.uid}").strip()
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "told.1", "namespace": "default"},
        "involvedObject": {"kind": "VirtualService", "name": "told", "namespace": "default", "uid": uid},
        "reason": "Seen", "message": "somebody looked", "type": "Normal", "count": 3,
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    server.ok("apply", "-f", "-", stdin=yaml.safe_dump(event))
    said = server.ok("describe", "vs", "told")
    for part in (
        "Name:         told",
        "Labels:       app=x",
        "    timeout: 3s",
        "Programmed",
        "NoSubscribers",
    ):
        assert part in said, part
    assert "Proxies: no proxy is connected" in said
    assert "(x3)" in said
    assert "somebody looked" in said
    found = json.loads(server.ok("describe", "vs/told", "-o", "json"))
    assert (found["object"]["metadata"]["name"], len(found["events"])) == ("told", 1)
    assert found["delivery"]["state"] == "unaffected"


# --- edit ---


def editor(script: str) -> str:
    """An editor that runs a Python script over the text of the file."""
    before = "import pathlib, sys; path = pathlib.Path(sys.argv[1]); text = path.read_text()"
    return shlex.join([sys.executable, "-c", f"{before}\n{script}\npath.write_text(text)"])


@pytest.fixture
def drafts(tmp_path: Path) -> Path:
    folder = tmp_path / "drafts"
    folder.mkdir()
    return folder


def edited(server: Server, drafts: Path, script: str, *what: str) -> subprocess.CompletedProcess[str]:
    return server.argosy("edit", *what, env={"EDITOR": editor(script), "TMPDIR": str(drafts)})


def test_edit_changes_what_was_changed(server: Server, drafts: Path) -> None:
    server.ok("apply", "-f", "-", stdin=route("mine", "1s"))
    done = edited(
        server, drafts, "assert path.stat().st_mode & 0o77 == 0; text = text.replace('1s', '4s')", "vs/mine"
    )
    assert (done.returncode, done.stdout) == (0, "VirtualService default/mine edited\n"), done.stderr
    assert server.ok("get", "vs/mine", "-o", "jsonpath={.spec.http[0].timeout}") == "4s\n"
    assert list(drafts.iterdir()) == []


@pytest.mark.parametrize("script", ["", "text = ''", "text += '# a remark\\n'"])
def test_edit_of_nothing_changes_and_leaves_nothing(server: Server, drafts: Path, script: str) -> None:
    server.ok("apply", "-f", "-", stdin=route("mine", "1s"))
    done = edited(server, drafts, script, "vs", "mine")
    assert (done.returncode, done.stderr) == (0, "VirtualService default/mine was not changed\n")
    assert list(drafts.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("text = text.replace('1s', 'soon')", "spec.http[0].timeout"),
        ("text = text.replace('name: mine', 'name: yours')", "metadata.name: mine cannot be changed"),
        ("text += '}'", "line "),
        ("text += '  nosuch: 1\\n'", "nosuch"),
        ("text = text.replace('1s', '8s'); path.write_text(text); sys.exit(3)", "ended with code 3"),
    ],
)
def test_what_is_refused_stays_in_its_file(server: Server, drafts: Path, script: str, said: str) -> None:
    server.ok("apply", "-f", "-", stdin=route("mine", "1s"))
    done = edited(server, drafts, script, "vs/mine")
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    (kept,) = drafts.glob("*/*.yaml")
    assert f"your text is in {kept}" in done.stderr
    assert kept.stat().st_mode & 0o77 == 0
    assert server.ok("get", "vs/mine", "-o", "jsonpath={.spec.http[0].timeout}") == "1s\n"


def test_somebody_elses_change_is_not_overwritten(server: Server, drafts: Path) -> None:
    server.ok("apply", "-f", "-", stdin=route("mine", "1s"))
    (server.folder / "theirs.yaml").write_text(route("mine", "7s"))
    theirs = shlex.join([*ARGOSY, "apply", "-f", "theirs.yaml"])
    script = f"import os; assert os.system({theirs!r}) == 0; text = text.replace('1s', '2s')"
    done = edited(server, drafts, script, "vs/mine")
    assert (done.returncode, "somebody else has changed it" in done.stderr) == (1, True), done.stderr
    (kept,) = drafts.glob("*/*.yaml")
    assert "timeout: 2s" in kept.read_text()
    assert server.ok("get", "vs/mine", "-o", "jsonpath={.spec.http[0].timeout}") == "7s\n"


def test_a_secret_is_edited_and_no_copy_is_left(server: Server, drafts: Path) -> None:
    server.ok("apply", "-f", "-", stdin=SECRET % "swordfish")
    where = server.folder / "where"
    script = (
        f"pathlib.Path({str(where)!r}).write_text(str(path)); text = text.replace('c3dvcmRmaXNo', 'bmV3')"
    )
    done = edited(server, drafts, script, "secret", "s")
    assert done.returncode == 0, done.stderr
    assert server.ok("get", "secret", "s", "-o", "jsonpath={.data.password}") == "bmV3\n"
    assert not Path(where.read_text()).parent.exists()
    assert list(drafts.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("changed", [False, True])
def test_a_signal_leaves_only_what_was_written(
    server: Server, drafts: Path, number: signal.Signals, changed: bool
) -> None:
    server.ok("apply", "-f", "-", stdin=route("mine", "1s"))
    begun = drafts / "begun"
    change = "path.write_text(text.replace('1s', '2s')); " if changed else ""
    script = f"import signal, time; {change}pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    process = started(server, "edit", "vs/mine", EDITOR=editor(script), TMPDIR=str(drafts))
    until(begun.exists, "the editor was not started")
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=WITHIN)
    assert (process.returncode, "your text is in" in err) == (128 + number, changed), err
    assert len(list(drafts.glob("argosy-edit-*"))) == changed


# --- delete ---


def test_delete_by_labels_and_without_deleting(server: Server) -> None:
    server.ok("apply", "-f", "-", stdin=f"{route('gone', team='x')}---{route('stays', team='y')}")
    said = server.ok("delete", "vs", "-l", "team=x", "--dry-run=server")
    assert said == "VirtualService default/gone deleted (server dry run)\n"
    assert server.ok("delete", "vs", "-l", "team=x") == "VirtualService default/gone deleted\n"
    assert server.argosy("get", "vs/gone").returncode == 1
    assert server.ok("get", "vs/stays", "-o", "name")


# --- completion ---

SHELLS = {
    "bash": 'source <(argosy completion bash); COMP_WORDS=({words} ""); COMP_CWORD={count}; '
    '_argosy_completion argosy; echo "${{COMPREPLY[*]}}"',
    "zsh": "compdef() {{ :; }}; _arguments() {{ print -r -- $1; }}; source <(argosy completion zsh); "
    'words=({words} ""); CURRENT=$#words; _argosy_completion',
    "fish": "argosy completion fish | source; complete -C '{words} '",
}


@pytest.mark.parametrize(
    "shell",
    ["bash", pytest.param("zsh", marks=pytest.mark.long), pytest.param("fish", marks=pytest.mark.long)],
)
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("argosy", "describe"),
        ("argosy get", "virtualservices"),
        ("argosy get vs", "completed"),
        ("argosy wait vs --for", "condition=Programmed"),
        ("argosy get vs -n", "istio-system"),
        ("argosy get vs --context", "argosy"),
    ],
)
def test_shells_complete(server: Server, shell: str, words: str, offered: str) -> None:
    binary = shutil.which(shell)
    if binary is None:
        pytest.skip(f"SKIPPED: {shell} is not installed")
    server.ok("apply", "-f", "-", stdin=route("completed"))
    script = SHELLS[shell].format(words=words, count=len(words.split()))
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ARGOSY_STATE_DIR": str(server.state),
        "HOME": str(server.folder),
        "ARGOSY_COMPLETION_SECONDS": "20",  # other tests run beside this one
    }

    def completed() -> bool:
        """A server that is slow for once offers nothing: that is the rule."""
        done = subprocess.run(
            [binary, "-c", script], capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        return offered in done.stdout

    until(completed, f"{shell} was not offered {offered}")


# --- explain, what-if ---


def test_the_model_of_a_server_is_asked(server: Server) -> None:
    """Of what the server has: with a Service, a workload entry and mesh settings that it wrote itself (STRICT)."""
    folder = server.folder / "asked"
    folder.mkdir()
    mesh = folder / "mesh.yaml"
    mesh.write_text(
        """
apiVersion: v1
kind: Namespace
metadata: {name: asked}
---
apiVersion: v1
kind: Service
metadata: {name: asked, namespace: asked}
spec: {selector: {app: asked}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: asked-1, namespace: asked}
spec: {address: 10.0.0.1, labels: {app: asked, security.istio.io/tlsMode: istio}}
"""
    )
    server.ok("apply", "-f", str(mesh))
    told = json.loads(server.ok("explain", "--from", "asked/asked-1", "--to", "http://asked/", "-o", "json"))
    (endpoint,) = told["verdict"]["targets"][0]["cluster"]["endpoints"]
    assert (endpoint["address"], endpoint["tls"], endpoint["mode"]) == ("10.0.0.1:80", "mutual", "STRICT")
    assert endpoint["policies"][0]["kind"] == "PeerAuthentication"
    nowhere = server.argosy("explain", "--from", "asked/asked-1", "--to", "http://nobody/", "-n", "asked")
    assert nowhere.returncode == 0, "ALLOW_ANY: it leaves the mesh"
    change = folder / "change.yaml"
    change.write_text(route("asked", namespace="asked"))
    told = json.loads(server.ok("what-if", "-f", str(change), "-o", "json"))["impact"]
    assert [(one["type"], one["what"]) for one in told["changes"]] == [("RouteConfiguration", "changed")]
    assert told["proxies"] == 1
    assert "asked" not in server.ok("get", "vs", "-n", "asked", "-o", "name"), "nothing was written"
