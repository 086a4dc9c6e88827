"""`argosy gateway`: an Envoy of its own that serves Gateway resources, through the same agent as the workloads."""

from __future__ import annotations

from typing import Annotated

import typer

from argosy.cli.options import AttestSocket, Locality, Namespace, StateDir


def gateway(
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The gateway's name, and its identity.")
    ] = "ingress",
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            "-l",
            metavar="KEY=VALUE",
            help="What the selector of Gateway resources matches; repeats.",
            show_default="istio=ingressgateway",
        ),
    ] = None,
    port: Annotated[
        list[str] | None,
        typer.Option(
            "--port",
            "-p",
            metavar="PORT[=BOUND]",
            help="A port of Gateway resources, and the one really listened on (80=8080); repeats.",
        ),
    ] = None,
    bind: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    namespace: Namespace = "istio-system",
    service_account: Annotated[
        str, typer.Option(metavar="NAME", help="Whose identity it has.", show_default="its name")
    ] = "",
    locality: Locality = "",
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log each request (argosy logs NAME).")
    ] = False,
    attest_socket: AttestSocket = "",
    state_dir: StateDir = "",
) -> None:
    """Run a gateway: where traffic from outside comes into the mesh.

    It serves the Gateway resources whose selector matches its labels, and the VirtualServices bound to them.

    [bold]Example[/bold]

    Port 80 of the Gateways, on 8080 here:  argosy gateway --port 80=8080
    """
    import asyncio

    from argosy.agent.client import ensure_agent
    from argosy.agent.protocol import Start
    from argosy.cli import run_spec
    from argosy.cli.run_session import Session
    from argosy.runtime.errors import Failure
    from argosy.runtime.paths import state_dir as chosen
    from argosy.runtime.paths import use_server

    mapped = dict(run_spec.gateway_port(text) for text in port or ())
    bound = list(mapped.values())
    if twice := next((number for number in bound if bound.count(number) > 1), 0):
        raise Failure(
            f"--port …={twice} is given twice", "two Gateway ports cannot share one port here", code=2
        )
    start = Start(
        name=run_spec.dns_label(name, "--name"),
        namespace=run_spec.dns_label(namespace, "--namespace"),
        service_account=run_spec.dns_label(service_account or name, "--service-account"),
        labels={"app": name} | run_spec.labels(label or ["istio=ingressgateway"]),
        type="router",
        port_map=mapped,
        bind_address=bind,
        create_service=False,
        access_log=access_log,
        locality=run_spec.locality(locality),
        command=("gateway",),
    )
    state = chosen(state_dir)
    if attest_socket:
        use_server(state, attest_socket)
    ensure_agent(state)
    raise typer.Exit(asyncio.run(Session(state, start).run()))
