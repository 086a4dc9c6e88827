"""Random Secrets: certificates with their keys, authorities, lists of revoked ones; and broken ones of every sort."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from tests.unit.pki import Authority, Pair, encoded

Json = dict[str, Any]


class Material:
    """Made once: keys take time."""

    def __init__(self) -> None:
        self.authority, self.other = Authority("one"), Authority("other")
        self.pairs = tuple(self.authority.issue(name) for name in ("shop.example", "a.com"))
        self.revoked = self.authority.revoked(self.pairs[0])
        self.expired = self.authority.issue("shop.example", since=48, until=-24)


@cache
def material() -> Material:
    return Material()


def whole(chance: random.Random) -> dict[str, str]:
    """Data that can be used, for servers and for clients."""
    held = material()
    pair = chance.choice(held.pairs)
    names = chance.choice((("tls_crt", "tls_key", "ca_crt", "ca_crl"), ("cert", "key", "cacert", "crl")))
    authorities = chance.choice(
        (held.authority.certificate, held.authority.certificate + held.other.certificate)
    )
    data = dict(zip(names[:3], (pair.certificate, pair.key, authorities), strict=True))
    if chance.random() < 0.3:
        data[names[3]] = held.revoked
    return encoded(**data)


def broken(chance: random.Random) -> dict[str, str]:
    """Data that no proxy may get: garbage, halves, keys of others."""
    held = material()
    one, other = held.pairs
    garbage = Pair(chance.randbytes(40), chance.randbytes(40))
    return chance.choice(
        (
            {},
            encoded(tls_crt=one.certificate),
            encoded(tls_crt=one.certificate, tls_key=other.key),
            encoded(tls_crt=one.key, tls_key=one.certificate),
            encoded(tls_crt=garbage.certificate, tls_key=garbage.key, ca_crt=garbage.certificate),
            encoded(tls_crt=one.certificate[:-200], tls_key=one.key, ca_crt=one.certificate[:-200]),
            encoded(tls_crt=one.certificate, tls_key=one.key[:-60]),
            encoded(tls_crt=b"", tls_key=b"", ca_crt=b""),
            encoded(cert=one.certificate, key=b"\0" * 9, cacert=one.key),
        )
    )


def expired() -> dict[str, str]:
    held = material()
    return encoded(
        tls_crt=held.expired.certificate, tls_key=held.expired.key, ca_crt=held.authority.certificate
    )


def secret(chance: random.Random, name: str, namespace: str) -> Json:
    """One that is whole."""
    data = whole(chance)
    kind = (
        "kubernetes.io/tls" if {"tls.crt", "tls.key"} <= data.keys() and chance.random() < 0.5 else "Opaque"
    )
    return _secret(name, namespace, kind, {"data": data})


def bad_secret(chance: random.Random, name: str, namespace: str) -> Json:
    return _secret(name, namespace, "Opaque", {"data": broken(chance)})


def _secret(name: str, namespace: str, kind: str, held: Json) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind} | held
