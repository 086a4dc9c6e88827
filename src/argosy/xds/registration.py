"""What a workload's agent and the xDS server say to each other beside ADS, on the same mutual-TLS connection.

One bidirectional stream a workload (`ATTEND`), JSON messages. The certificate of the connection decides namespace,
service account and workload name; a message that claims another is refused. While the stream is open the workload
counts as connected; once it is lost, a grace period runs.

To an agent of protocol 2 the server also says, unasked, where the servers of the mesh are (`Servers`); to one of
protocol 3 which roots the mesh trusts (`Trust`), and it says aside what its proxy holds (`Credentials`), to servers
that have said `Trust`. None of these is an answer, and none is answered.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.xds.start import ProxyStart, RefusedPatch

ATTEND = "/argosy.registration.v1.Registration/Attend"


class Port(Struct, frozen=True, kw_only=True):
    workload: int  # what policies and metrics speak of (and the service port where a Service is created)
    bind: int
    application: int
    protocol: str = "http"  # http | http2 | grpc | tcp | tls


class Register(Struct, frozen=True, kw_only=True, tag="register"):
    """Creates or updates the WorkloadEntry (not announced yet), and the Service where there is none."""

    protocol: int = 3
    workload: str
    namespace: str
    service_account: str
    service: str  # "" for none
    address: str
    labels: dict[str, str] = {}
    ports: tuple[Port, ...] = ()
    create_service: bool = True
    locality: str = ""
    network: str = ""
    group: str = ""  # name of the WorkloadGroup that the entry is made from; "": none
    proxy_config: str = ""  # annotation proxy.istio.io/config
    proxy_type: str = "sidecar"  # as its node says it
    refused: tuple[RefusedPatch, ...] = ()  # of what it was told to start its proxy with


class Announce(Struct, frozen=True, tag="announce"):
    """The probe succeeds: the endpoint may receive traffic."""


class Withdraw(Struct, frozen=True, tag="withdraw"):
    """The endpoint must receive no more traffic; `reason` is for people (leaving, probe failed: …). `unready`: it
    stays, but is not ready: a Service that publishes those that are not ready keeps it."""

    reason: str = ""
    unready: bool = False


class Leave(Struct, frozen=True, tag="leave"):
    """The workload is gone: the entry leaves."""


class Credentials(Struct, frozen=True, kw_only=True, tag="credentials"):
    """What the proxy of the workload holds, as it has acknowledged it."""

    serial: str  # of its certificate, hexadecimal
    root: str  # the fingerprint of the root that its certificate is below
    trusts: tuple[str, ...]  # fingerprints of the roots that it trusts
    not_before: float  # Unix time
    not_after: float
    problem: str = ""  # why its certificate could not be renewed at the last attempt


AgentMessage = Register | Announce | Withdraw | Leave | Credentials


class Registered(Struct, frozen=True, kw_only=True, tag="registered"):
    entry: str  # namespace/name
    created_service: str = ""  # namespace/name where one was created
    xds_addresses: tuple[str, ...] = ()  # of all servers, this one first
    start: ProxyStart = ProxyStart()
    labels: dict[str, str] = {}  # of the entry; {}: of an older server
    locality: str = ""  # of the entry
    remarks: tuple[str, ...] = ()  # what a person should know


class Servers(Struct, frozen=True, kw_only=True, tag="servers"):
    """A server came or went: all of them, this one first. No answer to anything."""

    xds_addresses: tuple[str, ...]


class Trust(Struct, frozen=True, kw_only=True, tag="trust"):
    """Which roots the mesh trusts from now on. Of two of these, the one of the higher version holds."""

    bundle: str  # PEM
    version: int
    issues: str  # fingerprint of the root below which certificates are issued
    within: float = 0.0  # seconds within which to renew a certificate that is below another


class Announced(Struct, frozen=True, kw_only=True, tag="announced"):
    """Its subscribers acknowledged the endpoint, but for `missing` (bounded wait)."""

    acknowledged: int
    missing: tuple[str, ...] = ()


class Withdrawn(Struct, frozen=True, kw_only=True, tag="withdrawn"):
    """Its subscribers acknowledged that the endpoint is gone, but for `missing` (bounded wait)."""

    acknowledged: int
    missing: tuple[str, ...] = ()


class Left(Struct, frozen=True, tag="left"):
    pass


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    field: str
    message: str


ServerMessage = Registered | Announced | Withdrawn | Left | Refused | Servers | Trust
