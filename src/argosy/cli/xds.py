"""`argosy xds dump`: what a proxy would get from configuration files, without a server, a network or a clock.

The same path as in the server: resources -> registry and model -> translate; with Istio's defaults, interception by
redirect, and a proxy that is described on the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from argosy.cli.options import Files
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.model.ir import Mesh, Workload
    from argosy.model.snapshot import Snapshot
    from argosy.resources.meta import Object
    from argosy.translate.proxy import Proxy

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="See what configuration files mean for Envoy."
)
OWN_NAME = "proxy"  # of the workload that --proxy describes, where no WorkloadEntry has its address


@app.callback()
def group() -> None:
    """See what configuration files mean for Envoy, without a server."""


class Described:
    """`type=sidecar,namespace=foo,ip=1.1.1.1,labels=app=httpbin;version=v1`."""

    def __init__(self, text: str) -> None:
        self.type, self.namespace = "sidecar", "default"
        self.addresses: list[str] = []
        self.labels: dict[str, str] = {}
        for part in text.split(",") if text else ():
            name, _, value = part.partition("=")
            match name.strip():
                case "type" if value in ("sidecar", "router"):
                    self.type = value
                case "namespace" if value:
                    self.namespace = value
                case "ip" if value:
                    self.addresses.append(value)
                case "labels":
                    pairs = (pair.partition("=") for pair in value.split(";") if pair)
                    self.labels |= {key: held for key, _, held in pairs}
                case "type":
                    raise Failure(
                        f"--proxy: type={value} is not a type", "type=sidecar or type=router", code=2
                    )
                case _:
                    raise Failure(
                        f"--proxy: {part!r} is not understood",
                        "type=sidecar,namespace=foo,ip=1.1.1.1,labels=app=httpbin;version=v1",
                        code=2,
                    )
        self.addresses = self.addresses or ["1.1.1.1"]


@app.command()
def dump(
    filename: Files,
    proxy: Annotated[
        str,
        typer.Option(
            metavar="type=…,namespace=…,ip=…,labels=…",
            help="The proxy: type=sidecar|router, its namespace, addresses (ip= repeats) and labels (key=value;…).",
        ),
    ] = "type=sidecar",
    mesh_config: Annotated[
        str,
        typer.Option(metavar="F", help="Mesh settings (MeshConfig, YAML).", show_default="Istio's defaults"),
    ] = "",
) -> None:
    """Print what a proxy would get, as JSON: listeners, routes, clusters and endpoints, named as in Envoy's API.

    [bold]Example[/bold]

    argosy xds dump -f config/ --proxy "type=sidecar,namespace=shop,labels=app=reviews;version=v1"
    """
    import json

    from argosy.cli.terminal import warn
    from argosy.translate.dump import dump as dumped

    described = Described(proxy)
    snapshot = snapshot_of(objects(filename), mesh_settings(mesh_config), described)
    print(json.dumps(dumped(snapshot, proxy_of(snapshot, described), warn), indent=1))


def objects(names: Sequence[str]) -> list[Object]:
    """The mesh's objects of the files, namespaces settled; fields that a kind does not have are told and left out.
    Raises Failure with everything that is invalid."""
    from argosy.cli.mesh_model import of_files

    return of_files(names).found


def mesh_settings(file: str) -> Mesh:
    from argosy.model.errors import LoweringError
    from argosy.model.ir import Mesh
    from argosy.model.lower_mesh import lower
    from argosy.resources.core import ConfigMap

    if not file:
        return Mesh()
    from pathlib import Path

    from argosy.cli.files import read

    try:
        return lower(ConfigMap(api_version="v1", kind="ConfigMap", data={"mesh": read(Path(file))}), Mesh())
    except LoweringError as error:
        raise Failure(f"{file}: {error}", "see MeshConfig in Istio's reference") from error


def snapshot_of(found: Sequence[Object], mesh: Mesh, described: Described) -> Snapshot:
    """The model of the objects, with the described proxy as a workload in it."""
    from argosy.cli.modelled import modelled

    snapshot, refused = modelled(found, mesh)
    if refused:
        raise Failure("\n  ".join(("these objects cannot be used:", *refused)), "see argosy validate")
    snapshot.put_workload(own_workload(found, snapshot, described))
    return snapshot


def own_workload(found: Sequence[Object], snapshot: Snapshot, described: Described) -> Workload:
    """The proxy's workload: the ports of the services that select its labels, or have an endpoint at its address.

    A registry of its own answers that, so that the proxy does not become an endpoint of anything.
    """
    from msgspec.structs import replace

    from argosy.model.ir import WorkloadPort
    from argosy.registry.objects import ObjectRegistry
    from argosy.resources.meta import ObjectMeta
    from argosy.resources.networking import WorkloadEntry, WorkloadEntrySpec

    mesh = snapshot.mesh
    at_address = (
        w
        for w in snapshot.workloads.values()
        if w.namespace == described.namespace and w.address in described.addresses
    )
    workload = next(at_address, None)
    if workload is None:
        entry = WorkloadEntry(
            api_version="networking.istio.io/v1",
            kind="WorkloadEntry",
            metadata=ObjectMeta(name=OWN_NAME, namespace=described.namespace, labels=described.labels),
            spec=WorkloadEntrySpec(address=described.addresses[0]),
        )
        registry = ObjectRegistry(trust_domain=mesh.trust_domain, domain_suffix=mesh.domain_suffix)
        made: list[Workload] = list(registry.upsert_all([*found, entry]).workloads)
        workload = next(w for w in made if (w.namespace, w.name) == (described.namespace, OWN_NAME))
    ports = {port.workload: port for port in workload.ports}
    for hostname, endpoints in sorted(snapshot.endpoints.items()):
        service = snapshot.services.get(hostname)
        for endpoint in endpoints if service else ():
            if service is None or endpoint.address not in described.addresses:
                continue
            served = next((p for p in service.ports if p.name == endpoint.port_name), None)
            if served is None or service.namespace != described.namespace:
                continue
            port = ports.get(endpoint.port) or WorkloadPort(
                name=served.name,
                workload=endpoint.port,
                bind=endpoint.port,
                application=endpoint.port,
                protocol=served.protocol,
            )
            if (hostname, served.number) not in zip(port.service_hosts, port.service_ports, strict=True):
                port = replace(
                    port,
                    service_hosts=(*port.service_hosts, hostname),
                    service_ports=(*port.service_ports, served.number),
                )
            ports[endpoint.port] = port
    labels = tuple(sorted(described.labels.items())) or workload.labels
    return replace(workload, labels=labels, ports=tuple(ports[number] for number in sorted(ports)))


def proxy_of(snapshot: Snapshot, described: Described) -> Proxy:
    from argosy.model.reader import Reader
    from argosy.model.scope import Interception, scope_of
    from argosy.translate.proxy import Proxy
    from argosy.xds.node import ISTIO_VERSION

    own = next(
        w
        for w in snapshot.workloads.values()
        if w.namespace == described.namespace and (w.address in described.addresses or w.name == OWN_NAME)
    )
    scope = scope_of(
        Reader(snapshot),
        type=described.type,
        interception=Interception.REDIRECT,
        namespace=described.namespace,
        labels=own.labels,
        metadata=(("ISTIO_VERSION", ISTIO_VERSION), ("NAME", own.name), ("NAMESPACE", described.namespace)),
        workload=own,
    )
    everywhere = "0.0.0.0"  # noqa: S104  # where Istio's gateways listen
    return Proxy(
        namespace=described.namespace, name=own.name, scope=scope, labels=own.labels, bind_address=everywhere
    )
