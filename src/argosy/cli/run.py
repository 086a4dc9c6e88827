"""`argosy run`: a command as a workload of the mesh."""

from __future__ import annotations

from typing import Annotated

import typer

from argosy.cli.options import AttestSocket, Locality, Namespace, StateDir


def run(
    command: Annotated[
        list[str],
        typer.Argument(metavar="-- CMD…", help="The application and its arguments.", show_default=False),
    ],
    service: Annotated[
        str,
        typer.Option(
            "--service",
            "-s",
            metavar="NAME",
            help="The service it is an instance of; with --group it may have none.",
            show_default="none",
        ),
    ] = "",
    group: Annotated[
        str,
        typer.Option("--group", metavar="NAME", help="The WorkloadGroup that it joins.", show_default="none"),
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="KEY=VALUE", help="A label (version=v1); repeats."),
    ] = None,
    port: Annotated[
        list[str] | None,
        typer.Option(
            "--port",
            "-p",
            metavar="PORT[:APP][/PROTOCOL]",
            help="A port it serves. APP: where the application listens on 127.0.0.1 (default: PORT), or auto: $PORT"
            " and {port} in the command tell it. PROTOCOL: http (default), http2, grpc, tcp, tls. Repeats; without any"
            " it is a client only.",
        ),
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            "-u",
            metavar="HOST:PORT[=LOCAL]",
            help="A service to reach at a port of 127.0.0.1, for programs that know no proxy; repeats.",
        ),
    ] = None,
    namespace: Namespace = "default",
    service_account: Annotated[
        str, typer.Option(metavar="NAME", help="Whose identity it has.", show_default="the service's name")
    ] = "",
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The workload's name.", show_default="service-version")
    ] = "",
    create_service: Annotated[
        bool,
        typer.Option("--create-service/--no-create-service", help="Create the Service where there is none."),
    ] = True,
    locality: Locality = "",
    bind: Annotated[
        str,
        typer.Option(
            metavar="IP",
            help="Where its sidecar listens: an address of this host that others reach.",
            show_default="127.0.0.1; on a host that joined, the address it joined with",
        ),
    ] = "127.0.0.1",
    proxy_config: Annotated[
        str,
        typer.Option(
            metavar="YAML",
            help="What its proxy is started with, as the annotation proxy.istio.io/config: 'concurrency: 2'.",
            show_default="that of the mesh",
        ),
    ] = "",
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log each request (argosy logs NAME).")
    ] = False,
    attest_socket: AttestSocket = "",
    state_dir: StateDir = "",
) -> None:
    """Run a service in the mesh: with an identity, mutual TLS, routing and metrics, and no change to its code.

    The application starts when its sidecar is ready; the exit code is the application's. Ctrl-C lets the mesh let go of
    it first, and waits for its requests; a second one hurries.

    [bold]Examples[/bold]

    A web server:  argosy run --service web --port 8000 -- python3 -m http.server 8000 --bind 127.0.0.1

    A second version, on a free port:  argosy run --service web --label version=v2 --port 8000:auto -- ./web {port}

    A member of a WorkloadGroup:  argosy run --group web --service-account web --port 8000 -- ./web

    A client:  argosy run --service me -- curl http://web:8000/
    """
    import asyncio

    import msgspec

    from argosy.agent.client import ensure_agent
    from argosy.cli import run_spec
    from argosy.cli.run_session import Session
    from argosy.runtime.paths import state_dir as chosen
    from argosy.runtime.paths import use_server

    start = run_spec.start(
        service=service,
        name=name,
        namespace=namespace,
        service_account=service_account,
        given_labels=label or (),
        ports=port or (),
        upstreams=upstream or (),
        command=command,
        group=group,
    )
    start = msgspec.structs.replace(
        start,
        create_service=create_service,
        access_log=access_log,
        locality=run_spec.locality(locality),
        proxy_config=proxy_config,
        bind_address=run_spec.bind(bind),
    )
    state = chosen(state_dir)
    if attest_socket:
        use_server(state, attest_socket)
    ensure_agent(state)
    raise typer.Exit(asyncio.run(Session(state, start).run()))
