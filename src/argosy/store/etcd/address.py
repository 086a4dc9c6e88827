"""Where an etcd is and how to talk to it: `etcd://host:2379,host2:2379/prefix?ca=FILE&cert=FILE&key=FILE&user=NAME…`.

Rule: a URL never holds a secret, as it stands in the list of processes: passwords come from a file (`password-file`) or
from the environment, keys from files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from argosy.runtime.errors import Failure

PASSWORD_VARIABLE = "ARGOSY_ETCD_PASSWORD"  # noqa: S105
PORT = 2379
OPTIONS = ("ca", "cert", "key", "tls", "user", "password-file", "timeout", "compact")
EXAMPLE = "for example: etcd://10.0.0.1:2379,10.0.0.2:2379/argosy?ca=/etc/argosy/etcd-ca.pem"


class EtcdAddress(Struct, frozen=True):
    endpoints: tuple[str, ...]  # host:port
    prefix: str = "/argosy"
    tls: bool = False
    ca: Path | None = None  # None: the roots that gRPC comes with
    cert: Path | None = None
    key: Path | None = None
    user: str = ""
    password_file: Path | None = None
    timeout: float = 5.0  # seconds that a call may take, over all endpoints
    compact: bool = True  # False: somebody else compacts this etcd

    def __str__(self) -> str:
        return f"etcd://{','.join(self.endpoints)}{self.prefix}"

    def password(self) -> str:
        """Read when it is needed, so that it may change. Raises Failure."""
        if self.password_file is None:
            if found := os.environ.get(PASSWORD_VARIABLE):
                return found
            raise Failure(
                f"there is no password for etcd's user {self.user}",
                f"name a file with ?password-file=FILE, or set {PASSWORD_VARIABLE}",
            )
        return read(self.password_file, "password-file").decode().strip()


def parse(url: str) -> EtcdAddress:
    """Raises Failure that names what is wrong with the URL."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise Failure(
            "a store's URL holds no user or password: everybody on this host may read it in the list of processes",
            f"write ?user=NAME, and the password to a file (?password-file=FILE) or to {PASSWORD_VARIABLE}",
        )
    if parts.scheme != "etcd" or not parts.netloc or parts.fragment:
        raise Failure(f"{url!r} is not the URL of an etcd", EXAMPLE)
    prefix = "/" + unquote(parts.path).strip("/")
    if not re.fullmatch(r"/[\x21-\x7e]*", prefix):
        raise Failure(f"{url!r}: the prefix {prefix!r} has characters that it may not have", EXAMPLE)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in OPTIONS:
            raise Failure(f"the store's URL has no option {name!r}", f"there are {', '.join(OPTIONS)}")
    files = {name: _path(options, name) for name in ("ca", "cert", "key", "password-file")}
    if (files["cert"] is None) != (files["key"] is None):
        raise Failure("cert and key of a store's URL belong together", "name both, or neither")
    return EtcdAddress(
        endpoints=tuple(_endpoint(url, one) for one in parts.netloc.split(",")),
        prefix="/argosy" if prefix == "/" else prefix,
        tls=_switch(options, "tls", files["ca"] is not None or files["cert"] is not None),
        ca=files["ca"],
        cert=files["cert"],
        key=files["key"],
        user=options.get("user", ""),
        password_file=files["password-file"],
        timeout=_seconds(options.get("timeout", "5s")),
        compact=_switch(options, "compact", True),
    )


def read(path: Path, option: str) -> bytes:
    """The content of a file that the URL names. Raises Failure."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(
            f"cannot read {path} ({option} of the store's URL): {error.strerror}",
            "mend the path, or its rights",
        ) from error


def _endpoint(url: str, text: str) -> str:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", text)
    if not found or not 0 < int(found[2] or PORT) < 65536:
        raise Failure(f"{url!r}: {text!r} is not HOST:PORT", EXAMPLE)
    return f"{found[1]}:{found[2] or PORT}"


def _path(options: Mapping[str, str], name: str) -> Path | None:
    return Path(options[name]).expanduser() if options.get(name) else None


def _switch(options: Mapping[str, str], name: str, default: bool) -> bool:
    if name not in options:
        return default
    if options[name] not in ("on", "off"):
        raise Failure(f"the store's URL: {name}={options[name]!r} is neither on nor off", EXAMPLE)
    return options[name] == "on"


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s", text)
    if not found or not 0.5 <= float(found[1]) <= 120:
        raise Failure(
            f"the store's URL: timeout={text!r} is not between 0.5s and 120s", "for example: timeout=5s"
        )
    return float(found[1])
