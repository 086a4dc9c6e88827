"""Envoy's counters as Istio's standard metrics: a pure function from one scrape to another.

A sidecar counts with few, cheap tags (`translate/filters/stats.py`): what it knows of the other side in one string, and
nothing of itself. Here the strings become Istio's labels, its own side is filled in, and the names lose Envoy's
prefix. Series that become equal are added up. Everything else that Envoy says passes unchanged.
Facts: https://istio.io/latest/docs/reference/config/metrics/ (names, labels, `unknown`);
https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

PREFIX = b"envoy_istio_"
UNKNOWN = "unknown"
PEER_SUFFIX = ".workload.mesh"
TAG_PREFIX = "tag_"
REMOVED = "removed"
_CACHED = 4096

_SAMPLE = re.compile(rb"envoy_istio_(\w+?)(_bucket|_sum|_count)?(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_LE = re.compile(rb'(?:^|,)le="([^"]*)"')
_NOTHING = ("", "-")

Labels = tuple[tuple[str, str], ...]


class Own(Struct, frozen=True, kw_only=True):
    """What a workload's own side of every series says."""

    workload: str
    namespace: str
    principal: str = ""
    app: str = ""
    version: str = ""
    canonical_service: str = ""
    canonical_revision: str = ""


class _Party(Struct, frozen=True):
    workload: str = UNKNOWN
    namespace: str = UNKNOWN
    principal: str = UNKNOWN
    app: str = UNKNOWN
    version: str = UNKNOWN
    canonical_service: str = UNKNOWN
    canonical_revision: str = "latest"  # Istio's default for a workload; for nobody it is unknown too


_NOBODY = _Party(canonical_revision=UNKNOWN)


class Histogram:
    """Cumulative buckets by their bound as written, sum and count."""

    __slots__ = ("buckets", "count", "sum")

    def __init__(self) -> None:
        self.buckets: dict[bytes, float] = {}
        self.sum = 0.0
        self.count = 0.0


class Scrape:
    """Istio's metrics of one sidecar: name -> labels -> value; and the rest, as text."""

    def __init__(self) -> None:
        self.counters: dict[str, dict[Labels, float]] = {}
        self.histograms: dict[str, dict[Labels, Histogram]] = {}
        self.rest: list[bytes] = []


class Rewriter:
    """For one workload; remembers how tags became labels, for they are the same at every scrape."""

    def __init__(self, own: Own) -> None:
        self._own = _Party(
            workload=own.workload,
            namespace=own.namespace,
            principal=own.principal or UNKNOWN,
            app=own.app or UNKNOWN,
            version=own.version or UNKNOWN,
            canonical_service=own.canonical_service or own.app or own.workload,
            canonical_revision=own.canonical_revision or own.version or "latest",
        )
        self._labels: dict[bytes, Labels] = {}

    def scrape(self, raw: bytes) -> Scrape:
        """Reads what Envoy's `/stats/prometheus` gave."""
        out = Scrape()
        histograms: set[bytes] = set()
        for line in raw.split(b"\n"):
            if line.startswith(PREFIX):
                self._sample(out, line, histograms)
            elif line.startswith(b"# TYPE " + PREFIX):
                if line.endswith(b" histogram"):
                    histograms.add(line[len(b"# TYPE ") + len(PREFIX) : -len(b" histogram")])
            elif line:
                out.rest.append(line)
        return out

    def _sample(self, out: Scrape, line: bytes, histograms: set[bytes]) -> None:
        found = _SAMPLE.fullmatch(line)
        if not found:
            return
        name, suffix, tags, value = found[1], found[2] or b"", found[3] or b"", float(found[4])
        if suffix and name in histograms:
            bound = _LE.search(tags)
            if bound:
                tags = tags[: bound.start()] + tags[bound.end() :]
            series = out.histograms.setdefault("istio_" + name.decode(), {})
            histogram = series.setdefault(self.labels(tags), Histogram())
            if suffix == b"_bucket" and bound:
                histogram.buckets[bound[1]] = histogram.buckets.get(bound[1], 0.0) + value
            elif suffix == b"_sum":
                histogram.sum += value
            else:
                histogram.count += value
        else:
            counters = out.counters.setdefault("istio_" + (name + suffix).decode(), {})
            labels = self.labels(tags)
            counters[labels] = counters.get(labels, 0.0) + value

    def labels(self, tags: bytes) -> Labels:
        """Istio's labels of a series, from its tags as written between the braces."""
        if (known := self._labels.get(tags)) is not None:
            return known
        if len(self._labels) >= _CACHED:
            self._labels.clear()
        raw = {name: _unescaped(value) for name, value in _LABEL.findall(tags.decode("utf-8", "replace"))}
        labels = self._labels[tags] = tuple(_istio(raw, self._own).items())
        return labels


def _istio(raw: dict[str, str], own: _Party) -> dict[str, str]:
    """The full label set, in Istio's order."""
    at_destination = raw.get("reporter") == "destination"
    if at_destination:
        source, destination = _certified(raw.get("source", ""), raw.get("source_principal", "")), own
    else:
        source, destination = (
            own,
            _described(raw.get("destination", ""), raw.get("destination_principal", "")),
        )
    service = _or_unknown(raw.get("destination_service", ""))
    name, namespace = _service(service, destination)
    protocol = _protocol(raw)
    labels = {
        "reporter": raw.get("reporter", UNKNOWN),
        **_side("source", source),
        **_side("destination", destination),
        "destination_service": service,
        "destination_service_name": name,
        "destination_service_namespace": namespace,
        "request_protocol": protocol,
        "response_flags": raw.get("response_flags") or "-",
        # A client cannot say what its peer required; Istio's label is the destination's word alone.
        "connection_security_policy": (
            UNKNOWN
            if not at_destination
            else "none"
            if raw.get("source_principal", "") in _NOTHING
            else "mutual_tls"
        ),
    }
    if protocol != "tcp":
        labels["response_code"] = raw.get("response_code") or "0"
        status = raw.get("grpc_status", "")
        labels["grpc_response_status"] = "" if protocol != "grpc" or status in _NOTHING else status
    return _overridden(labels, raw)


def _overridden(labels: dict[str, str], raw: dict[str, str]) -> dict[str, str]:
    """With what a Telemetry's tagOverrides say."""
    for name, value in raw.items():
        if name.startswith(TAG_PREFIX):
            labels[name.removeprefix(TAG_PREFIX)] = _or_unknown(value)
    for name in raw.get(REMOVED, "").split(","):
        labels.pop(name, None)
    return labels


def _side(side: str, party: _Party) -> dict[str, str]:
    return {
        f"{side}_workload": party.workload,
        f"{side}_workload_namespace": party.namespace,
        f"{side}_principal": party.principal,
        f"{side}_app": party.app,
        f"{side}_version": party.version,
        f"{side}_canonical_service": party.canonical_service,
        f"{side}_canonical_revision": party.canonical_revision,
    }


def _certified(dns: str, principal: str) -> _Party:
    """A peer by its certificate: `<version>.<app>.<workload>.<namespace>.workload.mesh`. Several names: ANY of them."""
    for name in dns.split(","):
        parts = name.removesuffix(PEER_SUFFIX).split(".")
        if name.endswith(PEER_SUFFIX) and len(parts) == 4:
            version, app, workload, namespace = parts
            return _party(workload, namespace, app, version, principal)
    if principal in _NOTHING:
        return _NOBODY
    return _Party(principal=principal, canonical_revision=UNKNOWN)


def _described(text: str, principal: str) -> _Party:
    """A peer by its endpoint's metadata: `workload;namespace;app;version;…`."""
    workload, namespace, app, version, *_ = (*text.split(";"), "", "", "")
    if workload in _NOTHING:
        return _NOBODY if principal in _NOTHING else _Party(principal=principal, canonical_revision=UNKNOWN)
    return _party(workload, namespace, app, version, principal)


def _party(workload: str, namespace: str, app: str, version: str, principal: str) -> _Party:
    app, version = _or_unknown(app), _or_unknown(version)
    return _Party(
        workload=workload,
        namespace=_or_unknown(namespace),
        principal=_or_unknown(principal),
        app=app,
        version=version,
        canonical_service=workload if app == UNKNOWN else app,
        canonical_revision="latest" if version == UNKNOWN else version,
    )


def _service(host: str, destination: _Party) -> tuple[str, str]:
    """(name, namespace) of a service's host. A host outside of any namespace is its own name, as in Istio."""
    name, separator, rest = host.partition(".")
    namespace, inside, _ = rest.partition(".svc.")
    if separator and inside and "." not in namespace:
        return name, namespace
    return host, destination.namespace


def _protocol(raw: dict[str, str]) -> str:
    """`http`, `grpc` or `tcp`: Envoy's `HTTP/2` is gRPC where there is a gRPC status."""
    said = raw.get("request_protocol", "")
    if said in ("tcp", "grpc", "http"):
        return said
    if said in _NOTHING and "response_code" not in raw:
        return "tcp"
    return "http" if raw.get("grpc_status", "") in _NOTHING else "grpc"


def _or_unknown(value: str) -> str:
    return UNKNOWN if value in _NOTHING else value


def _unescaped(value: str) -> str:
    if "\\" not in value:
        return value
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), value)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


# --- writing --------------------------------------------------------------------------------------------------------


def exposition(scrape: Scrape) -> bytes:
    """The scrape in Prometheus' text format: Istio's metrics first."""
    lines: list[bytes] = []
    for name, counters in scrape.counters.items():
        lines.append(f"# TYPE {name} counter".encode())
        for labels, value in counters.items():
            lines.append(b"%s{%s} %s" % (name.encode(), _written(labels), _number(value)))
    for name, histograms in scrape.histograms.items():
        lines.append(f"# TYPE {name} histogram".encode())
        encoded = name.encode()
        for labels, histogram in histograms.items():
            lines += _histogram_lines(encoded, _written(labels), histogram)
    return b"\n".join([*lines, *scrape.rest, b""])


def _histogram_lines(name: bytes, labels: bytes, histogram: Histogram) -> Iterator[bytes]:
    for bound, count in histogram.buckets.items():
        yield b'%s_bucket{%s,le="%s"} %s' % (name, labels, bound, _number(count))
    yield b"%s_sum{%s} %s" % (name, labels, _number(histogram.sum))
    yield b"%s_count{%s} %s" % (name, labels, _number(histogram.count))


def _written(labels: Labels) -> bytes:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels).encode()


def _number(value: float) -> bytes:
    return b"%d" % value if value.is_integer() else repr(value).encode()
