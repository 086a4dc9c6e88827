"""`argosy server`: the control plane in one process."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from argosy.cli.options import StateDir
from argosy.runtime import log, paths
from argosy.runtime.errors import Failure

ADDRESS = "HOST:PORT"
JOIN_TOKEN = "ARGOSY_JOIN_TOKEN"  # noqa: S105  # the name of a variable
LONGEST_TOKEN = 64 << 10


def server(
    state_dir: StateDir = "",
    store: Annotated[
        str,
        typer.Option(
            "--store",
            metavar="URL",
            envvar="ARGOSY_STORE",
            help="Where the configuration lives: sqlite:///PATH, or etcd://HOST:2379,HOST2:2379/PREFIX with "
            "?ca=FILE, cert=FILE, key=FILE, user=NAME, password-file=FILE, timeout=5s, compact=off.",
            show_default="a SQLite file in the state directory",
        ),
    ] = "",
    secrets_key_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="The keys that Secrets are sealed with; made at the first start. Servers of one store share it.",
            show_default="secrets.key in the state directory",
        ),
    ] = "",
    roles: Annotated[str, typer.Option(metavar="ROLES", help="Which parts run here.")] = "api,xds,ca",
    api_address: Annotated[
        str, typer.Option(metavar=ADDRESS, help="The control-plane API (HTTPS). Port 0: any free one.")
    ] = "127.0.0.1:16443",
    xds_address: Annotated[
        str, typer.Option(metavar=ADDRESS, help="Configuration for the proxies (mutual TLS).")
    ] = "127.0.0.1:15012",
    ca_address: Annotated[
        str, typer.Option(metavar=ADDRESS, help="The certificate authority (TLS).")
    ] = "127.0.0.1:15013",
    status_address: Annotated[
        str, typer.Option(metavar=ADDRESS, help="/healthz, /readyz and /metrics (HTTP).")
    ] = "127.0.0.1:15014",
    advertise_address: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="What other servers, agents and kubeconfigs are told in place of the addresses listened on.",
            show_default="these; for 0.0.0.0 and [::] the host's first address that is not its loopback",
        ),
    ] = "",
    attest_socket: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="The Unix socket on which agents prove their user. For agents of other users it must stand where "
            "they may reach it.",
            show_default="in the runtime directory",
        ),
    ] = "",
    api_socket: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="The Unix socket of the API, for this user and those that User objects map.",
            show_default="in the runtime directory",
        ),
    ] = "",
    token_file: Annotated[
        str,
        typer.Option(
            metavar="FILE", help='Further users of the API, as lines of token,user,uid,"group,group".'
        ),
    ] = "",
    client_ca_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="An authority whose certificates are users of the API: CN the name, O the groups.",
        ),
    ] = "",
    audit_log: Annotated[
        str,
        typer.Option(metavar="FILE", help="Who did what.", show_default="audit.log in the state directory"),
    ] = "",
    audit_size: Annotated[
        str, typer.Option(metavar="SIZE", help="At which the audit log begins a new file.")
    ] = "64M",
    audit_keep: Annotated[
        int, typer.Option(metavar="N", min=0, help="How many older files of the audit log are kept.")
    ] = 8,
    trust_domain: Annotated[
        str,
        typer.Option(
            metavar="DOMAIN",
            help="Of the identities: spiffe://DOMAIN/ns/N/sa/S.",
            show_default="that of the mesh; cluster.local for a new one",
        ),
    ] = "",
    join: Annotated[
        str,
        typer.Option(
            "--join",
            metavar=ADDRESS,
            help="Become a further server of a mesh: the CA address of one that holds its root. Once it is one, "
            "this changes nothing.",
        ),
    ] = "",
    join_token_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="What `argosy join-token` wrote there; - is standard input.",
            show_default="$ARGOSY_JOIN_TOKEN",
        ),
    ] = "",
    cert_ttl: Annotated[
        str, typer.Option(metavar="TIME", help="Lifetime of workload certificates; renewed after a quarter.")
    ] = "48h",
    max_cert_ttl: Annotated[
        str,
        typer.Option(metavar="TIME", help="The longest an agent may ask for.", show_default="as --cert-ttl"),
    ] = "",
    jwks_refresh: Annotated[
        str,
        typer.Option(metavar="TIME", help="How often the keys of token issuers (jwksUri) are fetched anew."),
    ] = "20m",
    jwks_allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS|CIDR",
            help="From where keys may be fetched although it is the loopback, link-local or a cloud's metadata; "
            "repeatable.",
        ),
    ] = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
    log_format: Annotated[str, typer.Option(metavar="FORMAT", help="text, json or auto.")] = "auto",
) -> None:
    """Run the control plane: API, configuration of the proxies, certificate authority.

    Stops cleanly on SIGTERM and Ctrl-C. Sidecars keep serving while it is away.
    """
    _choice("--log-level", log_level, ("debug", "info", "warning", "error"))
    _choice("--log-format", log_format, ("text", "json", "auto"))
    log.configure(log_level, log_format)
    # gRPC's core writes lines of its own to standard error (a failed handshake, say): what matters is in our events.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # gRPC's older listener hands nothing from thread to thread: a change costs a third less (measured, 1.85). A later
    # version of gRPC that has only the newer one ignores this.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
    import uvloop

    from argosy.server import process, settings
    from argosy.store import open as stores

    chosen = settings.Settings(
        state=paths.state_dir(state_dir),
        store=stores.check(store),
        secrets_key_file=Path(secrets_key_file).absolute() if secrets_key_file else None,
        roles=settings.roles(roles),
        api=settings.address("--api-address", api_address),
        xds=settings.address("--xds-address", xds_address),
        ca=settings.address("--ca-address", ca_address),
        status=settings.address("--status-address", status_address),
        advertise=settings.advertised(advertise_address) if advertise_address else "",
        attest_socket=Path(attest_socket).absolute() if attest_socket else None,
        api_socket=Path(api_socket).absolute() if api_socket else None,
        token_file=Path(token_file).absolute() if token_file else None,
        client_ca_file=Path(client_ca_file).absolute() if client_ca_file else None,
        audit_log=Path(audit_log).absolute() if audit_log else None,
        audit_bytes=settings.size("--audit-size", audit_size),
        audit_keep=audit_keep,
        trust_domain=settings.trust_domain(trust_domain) if trust_domain else "",
        cert_ttl=settings.lifetime("--cert-ttl", cert_ttl),
        max_cert_ttl=settings.lifetime("--max-cert-ttl", max_cert_ttl) if max_cert_ttl else 0,
        jwks_refresh=settings.period("--jwks-refresh", jwks_refresh),
        jwks_allow=tuple(settings.network("--jwks-allow", one) for one in jwks_allow or ()),
        join=settings.address("--join", join) if join else None,
        join_token=_join_token(join_token_file)
        if join and not (paths.state_dir(state_dir) / "ca").is_dir()
        else "",
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process.run(chosen))


def _join_token(file: str) -> str:
    """Never from the command line, which everybody on the host may read. Raises Failure."""
    if not file:
        if token := os.environ.pop(JOIN_TOKEN, ""):
            return token
        raise Failure(
            "--join: there is no join token",
            f"make one at the mesh with `argosy join-token`, and give --join-token-file or ${JOIN_TOKEN}",
            code=2,
        )
    if file == "-":
        return sys.stdin.read(LONGEST_TOKEN)
    try:
        with Path(file).open("r", encoding="ascii", errors="replace") as opened:
            return opened.read(LONGEST_TOKEN)
    except OSError as error:
        raise Failure(
            f"--join-token-file {file}: {error.strerror}", "name the file of `argosy join-token`"
        ) from error


def _choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise Failure(f"{option} {value!r} is not one of {', '.join(choices)}", code=2)
