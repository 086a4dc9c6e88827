"""Parts of Envoy's configuration as an EnvoyFilter writes them: JSON of Envoy's messages, without its types.

The classes come from `xds-protos`, whose Python packages are called as the packages of the types; what is not used is
never imported. They may be older than the Envoy that runs: a field that they do not know is a warning, and so is a
type of a package that they do not know.
# Istio: BuildXDSObjectFromStruct, ReverseDeprecatedFilterNames
"""

from __future__ import annotations

import pkgutil
import re
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from argosy.resources.duration import parse_duration
from argosy.resources.networking.envoy_filter import ApplyTo
from argosy.resources.schema import join
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

Path = list[str | int]

_TYPES = {
    ApplyTo.LISTENER: "envoy.config.listener.v3.Listener",
    ApplyTo.FILTER_CHAIN: "envoy.config.listener.v3.FilterChain",
    ApplyTo.NETWORK_FILTER: "envoy.config.listener.v3.Filter",
    ApplyTo.LISTENER_FILTER: "envoy.config.listener.v3.ListenerFilter",
    ApplyTo.HTTP_FILTER: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    ApplyTo.ROUTE_CONFIGURATION: "envoy.config.route.v3.RouteConfiguration",
    ApplyTo.VIRTUAL_HOST: "envoy.config.route.v3.VirtualHost",
    ApplyTo.HTTP_ROUTE: "envoy.config.route.v3.Route",
    ApplyTo.CLUSTER: "envoy.config.cluster.v3.Cluster",
    ApplyTo.EXTENSION_CONFIG: "envoy.config.core.v3.TypedExtensionConfig",
    ApplyTo.BOOTSTRAP: "envoy.config.bootstrap.v3.Bootstrap",
}
# The roots bound what a text can have imported; a version bounds it to packages of messages
_TYPE = re.compile(r"((?:envoy|udpa|xds)(?:\.[a-z][a-z0-9_]*)*\.v(\d+)\w*)\.[A-Z]\w*")
_WELL_KNOWN = ("any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers")
_ANY, _DURATION, _EMPTY = (f"google.protobuf.{name}" for name in ("Any", "Duration", "Empty"))
_MESSAGE = 200  # characters
_GONE = "2"  # the version of its API that Envoy has dropped
# Envoy 1.14: filters whose names it changed, from envoy.NAME or envoy.listener.NAME
_RENAMED = {
    "listener": "http_inspector original_dst original_src proxy_protocol tls_inspector",
    "network": "client_ssl_auth echo ext_authz http_connection_manager mongo_proxy ratelimit redis_proxy tcp_proxy",
    "http": "buffer cors csrf fault grpc_http1_bridge grpc_json_transcoder grpc_web gzip health_check ip_tagging lua"
    " router squash",
}
NEW_NAMES = {
    f"envoy.{'listener.' * (kind == 'listener')}{name}": f"envoy.filters.{kind}.{name}"
    for kind, found in _RENAMED.items()
    for name in found.split()
} | {
    "envoy.http_dynamo_filter": "envoy.filters.http.dynamo",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
}


def renamed(name: str) -> str | None:
    """What is to be said of the old name of a filter."""
    return f"{name!r} is an old name; use {NEW_NAMES[name]}" if name in NEW_NAMES else None


def check(path: str, part: ApplyTo, value: dict[str, Any], findings: Findings) -> None:
    """Whether the value can be read as that part of Envoy's configuration."""
    walk = _Walk(path, findings)
    descriptor = _descriptor(_TYPES[part])
    prepared = walk.prepare(value, descriptor, [])
    try:
        json_format.ParseDict(
            prepared, message_factory.GetMessageClass(descriptor)(), ignore_unknown_fields=True
        )
    except Exception as error:  # the reader lets out whatever a value that it does not expect leads to
        said = str(error) if isinstance(error, json_format.Error) else f"it cannot be read ({error!r})"
        findings.error(path, f"is not a {descriptor.name} of Envoy's: {said[:_MESSAGE]}")


def read(path: str, part: ApplyTo, value: dict[str, Any]) -> Message:
    """The value as that part of Envoy's configuration; fields that the classes do not know are left out. Raises
    ValueError for what cannot be read, a type that is not known among it."""
    findings = Findings()
    walk = _Walk(path, findings)
    descriptor = _descriptor(_TYPES[part])
    prepared = walk.prepare(value, descriptor, [])
    if walk.lost:
        raise ValueError(walk.lost[0])
    if findings.errors:
        raise ValueError("; ".join(str(one) for one in findings.errors))
    message: Message = message_factory.GetMessageClass(descriptor)()
    try:
        json_format.ParseDict(prepared, message, ignore_unknown_fields=True)
    except Exception as error:
        raise ValueError(f"{path}: is not a {descriptor.name} of Envoy's: {str(error)[:_MESSAGE]}") from error
    return message


def message_class(name: str) -> type[Message] | None:
    """The class of a type by its full name; None for one that is not known here."""
    descriptor = _descriptor_or_none(name)
    return message_factory.GetMessageClass(descriptor) if descriptor is not None else None


class _Walk:
    """Goes through a value along the fields of a message, as JSON of protobuf has it, and says what it meets."""

    def __init__(self, root: str, findings: Findings) -> None:
        self.root = root
        self.findings = findings
        self.lost: list[str] = []
        """What is not known here, and would not be in the message."""

    def prepare(self, value: Any, descriptor: Descriptor, path: Path) -> Any:
        """The value as the reader of protobuf takes it: durations in seconds, and no types that are not known here."""
        if descriptor.full_name == _DURATION:
            return _seconds(value)
        if descriptor.full_name.startswith("google.protobuf.") and descriptor.full_name != _ANY:
            return value
        if not isinstance(value, dict):  # the reader would take the letters of a text for names of fields
            self.findings.error(self._at(path), f"{names.shown(value)} is not a mapping ({descriptor.name})")
            return None
        if descriptor.full_name == _ANY:
            return self._any(value, path)
        self._typed_config(value, descriptor, path)
        fields = _fields(descriptor)
        return {key: self._field(item, fields.get(key), [*path, key]) for key, item in value.items()}

    def _field(self, value: Any, field: FieldDescriptor | None, path: Path) -> Any:
        if field is None:
            self._warn(path, "is no field that this version knows; look for it in Envoy's documentation")
            return value
        inner = field.message_type
        if field.enum_type is not None:
            self._words(value if isinstance(value, list) else [value], field.enum_type, path)
        if inner is None or value is None:
            return value
        if inner.GetOptions().map_entry:
            of = inner.fields_by_name["value"].message_type
            if of is None or not isinstance(value, dict):
                return value
            return {key: self.prepare(item, of, [*path, key]) for key, item in value.items()}
        if field.is_repeated and isinstance(value, list):
            return [self.prepare(item, inner, [*path, index]) for index, item in enumerate(value)]
        return value if field.is_repeated else self.prepare(value, inner, path)

    def _words(self, values: list[Any], of: EnumDescriptor, path: Path) -> None:
        """The reader of protobuf passes over words that it does not know."""
        for value in values:
            if isinstance(value, str) and value not in of.values_by_name and not value.lstrip("-").isdigit():
                message = f"{names.shown(value)} is no {of.name} that this version knows"
                self.lost.append(f"{self._at(path)}: {message}")
                self._warn(path, f"{message}; look for it in Envoy's documentation")

    def _any(self, value: dict[str, Any], path: Path) -> Any:
        if not value:
            return value
        url = value.get("@type")
        name = url.rpartition("/")[2] if isinstance(url, str) else ""
        descriptor = _descriptor_or_none(name)
        if descriptor is not None:
            if descriptor.full_name.startswith("google.protobuf."):
                return value  # its JSON stands in `value`
            rest = {key: item for key, item in value.items() if key != "@type"}
            return {"@type": url, **self.prepare(rest, descriptor, path)}
        at = self._at([*path, "@type"])
        known = _TYPE.fullmatch(name)
        if known is None or known[2] == _GONE or _exists(known[1]):
            hint = "; v2 is no longer there, use v3" if known is not None and known[2] == _GONE else ""
            self.findings.error(
                at, f"{names.shown(str(url))} is no type of Envoy's{hint}; name one that it has"
            )
        else:
            self.lost.append(
                f"{at}: {names.shown(name)} is no type that this version knows; write it as a xds.type.v3.TypedStruct"
            )
            self.findings.warn(
                at, f"{names.shown(name)} is no type that this version knows: it is not looked into"
            )
        return {"@type": f"type.googleapis.com/{_EMPTY}"}

    def _typed_config(self, value: dict[str, Any], descriptor: Descriptor, path: Path) -> None:
        """Extensions are found by the type of their configuration; by name alone Envoy does not find them."""
        if "typed_config" not in descriptor.fields_by_name:
            return
        ways = ("typed_config", "typedConfig", "config_discovery", "configDiscovery")
        if not any(value.get(way) is not None for way in ways):
            name = names.shown(str(value.get("name", "")))
            self._warn(
                [*path, "typed_config"], f"is missing: Envoy does not find {name} by name; give its type"
            )

    def _warn(self, path: Path, message: str) -> None:
        self.findings.warn(self._at(path), message)

    def _at(self, path: Path) -> str:
        rest = join(path)
        return f"{self.root}{'' if rest.startswith('[') or not rest else '.'}{rest}"


def _seconds(value: Any) -> Any:
    """Durations as everywhere in Istio's kinds, as 500ms; protobuf's JSON has seconds alone."""
    if not isinstance(value, str):
        return value
    try:
        milliseconds = parse_duration(value)
    except ValueError:
        return value
    return f"{milliseconds // 1000}.{milliseconds % 1000:03}s"


@cache
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """By both names that JSON may have for a field."""
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


def _descriptor(name: str) -> Descriptor:
    found = _descriptor_or_none(name)
    if found is None:
        raise LookupError(f"{name}: xds-protos has no such type")
    return found


@lru_cache(maxsize=1024)  # people name the types
def _descriptor_or_none(name: str) -> Descriptor | None:
    known = _TYPE.fullmatch(name)
    if known is not None:
        if known[2] == _GONE or not _exists(known[1]):
            return None
        for module in pkgutil.iter_modules(import_module(known[1]).__path__):
            if module.name.endswith("_pb2"):
                import_module(f"{known[1]}.{module.name}")
    elif name.startswith("google.protobuf."):
        for module_name in _WELL_KNOWN:
            import_module(f"google.protobuf.{module_name}_pb2")
    else:
        return None
    try:
        return descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return None


@lru_cache(maxsize=1024)
def _exists(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of what it is in
        return False
