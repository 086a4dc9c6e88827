"""What the flags of `argosy run` and `argosy gateway` mean: text in, the agent's `Start` out. No I/O."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from argosy.agent.protocol import PortRequest, Start, UpstreamRequest
from argosy.runtime.errors import Failure

PROTOCOLS = ("http", "http2", "grpc", "tcp", "tls")
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
HOST = re.compile(rf"{DNS_LABEL.pattern}(\.{DNS_LABEL.pattern})*")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)


def number(text: str, flag: str, whole: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise Failure(f"{flag} {whole}: {text!r} is not a port between 1 and 65535", code=2)


def port(text: str) -> PortRequest:
    """`PORT[:APP][/PROTOCOL]`. APP is the application's own port, `auto`, or the same number where it is left out."""
    numbers, _, protocol = text.partition("/")
    workload, colon, application = numbers.partition(":")
    protocol = protocol or "http"
    if protocol not in PROTOCOLS:
        raise Failure(
            f"--port {text}: {protocol!r} is not a protocol",
            f"one of {', '.join(PROTOCOLS)}: --port 9080/grpc",
            code=2,
        )
    own = number(workload, "--port", text)
    if not colon:
        return PortRequest(workload=own, application=own, protocol=protocol)
    chosen = 0 if application == "auto" else number(application, "--port", text)
    return PortRequest(workload=own, application=chosen, protocol=protocol)


def upstream(text: str) -> UpstreamRequest:
    """`HOST:PORT[=LOCAL]`."""
    target, equals, local = text.partition("=")
    host, _, remote = target.rpartition(":")
    if not host:
        raise Failure(
            f"--upstream {text}: no port", "name the service's port: --upstream ratings:9080", code=2
        )
    if not HOST.fullmatch(host.lower()):
        raise Failure(f"--upstream {text}: {host!r} is not a host", "as in ratings or db.example.com", code=2)
    bind = number(local, "--upstream", text) if equals else 0
    return UpstreamRequest(host=host, port=number(remote, "--upstream", text), bind=bind)


def labels(given: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE`, as Kubernetes allows them."""
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
            raise Failure(
                f"--label {text}: not a label",
                "KEY=VALUE, letters, digits, '-', '_' and '.', at most 63: --label version=v1",
                code=2,
            )
        found[key] = value
    return found


def dns_label(text: str, flag: str) -> str:
    if DNS_LABEL.fullmatch(text):
        return text
    raise Failure(
        f"{flag} {text}: not a DNS label",
        "lower-case letters, digits and '-', at most 63, as in reviews-v1",
        code=2,
    )


def locality(text: str) -> str:
    """`REGION[/ZONE[/SUBZONE]]`; "" for none."""
    parts = text.split("/") if text else []
    if len(parts) > 3 or not all(re.fullmatch(r"[^\s*/]+", part) for part in parts):
        raise Failure(
            f"--locality {text}: not a locality",
            "REGION, REGION/ZONE or REGION/ZONE/SUBZONE, as in eu-west/a",
            code=2,
        )
    return text


def bind(text: str) -> str:
    """An IP address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Failure(f"--bind {text}: not an IP address", "as in --bind 10.0.0.1", code=2) from None


def workload_name(service: str, version: str) -> str:
    """The name where none is given: `reviews-v1`, as the workloads of Istio's samples are called."""
    made = re.sub(r"[^a-z0-9-]+", "-", f"{service}-{version}".lower()).strip("-") if version else service
    return made[:63].rstrip("-")


def start(
    *,
    service: str,
    name: str,
    namespace: str,
    service_account: str,
    given_labels: Sequence[str],
    ports: Sequence[str],
    upstreams: Sequence[str],
    command: Sequence[str],
    group: str = "",
) -> Start:
    """The request for a sidecar; label `app` is the service's name unless given, as Istio's metrics expect it. Who
    joins a WorkloadGroup and names no service gets its labels from there."""
    if not service and not group:
        raise Failure("neither --service nor --group is given", "say what it is: --service reviews", code=2)
    for flag, text in (("--service", service), ("--group", group)):
        if text:
            dns_label(text, flag)
    dns_label(namespace, "--namespace")
    marks = {**({"app": service} if service else {}), **labels(given_labels)}
    asked = tuple(port(text) for text in ports)
    seen: set[int] = set()
    for one in asked:
        if one.workload in seen:
            raise Failure(
                f"--port {one.workload} is given twice", "name each port of the workload once", code=2
            )
        seen.add(one.workload)
    if not command:
        raise Failure(
            "there is no command to run",
            f"put it after --: argosy run {f'--service {service}' if service else f'--group {group}'} -- ./my-app",
            code=2,
        )
    return Start(
        name=dns_label(name or workload_name(service or group, marks.get("version", "")), "--name"),
        namespace=namespace,
        service=service,
        service_account=dns_label(service_account or service or group, "--service-account"),
        labels=marks,
        ports=asked,
        upstreams=tuple(upstream(text) for text in upstreams),
        group=group,
        command=tuple(command),
    )


def gateway_port(text: str) -> tuple[int, int]:
    """`PORT[=BOUND]`: the port in the Gateway resource, and the one really listened on."""
    declared, equals, bound = text.partition("=")
    own = number(declared, "--port", text)
    return own, number(bound, "--port", text) if equals else own
