"""Who called, told to the application in a plain header: the identity that the caller's certificate proves.

    x-argosy-caller: spiffe://cluster.local/ns/shop/sa/frontend

The rules:

* What a request brings of it is taken off at every proxy, inbound and outbound, before anything else looks at the
  request: so it is never believed, by an application or by a filter, and never passed on to whom no proxy guards.
* Only the sidecar of the one who is called writes it, and only of a certificate of the mesh. In plaintext, and over TLS
  that is not the mesh's (which a Sidecar ends), there is none.
* A name that an application may take for it is taken off too. CGI, WSGI and what is like them know headers as
  variables, in which `x_argosy_caller` and `x-argosy-caller` are one; the same goes for the variants of
  x-forwarded-client-cert, which itself is the connection manager's own (`forward_client_cert_details`).

Facts (Envoy 1.40): early mutations run before routing and all filters; they know the connection's certificates; a value
that is empty is not written. What they cost is within noise (a microsecond for a request with a dozen headers).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2

from argosy.translate import wire

HEADER = "x-argosy-caller"
CERTIFICATE = "x-forwarded-client-cert"
IDENTITY = "%DOWNSTREAM_PEER_URI_SAN%"


class Caller(StrEnum):
    REMOVED = "REMOVED"
    TOLD = "TOLD"


_ANY = r"[!-/:-@\[-`{-~]"
"""What is neither letter nor digit: programs that make variables of headers take one of these for the other."""
_ODD = r"[!-,./:-@\[-`{-~]"
"""The same without the dash."""
LOOK_ALIKES = (
    f"x{_ANY}argosy{_ANY}caller",
    f"x(?:{_ODD}forwarded{_ANY}client{_ANY}|-forwarded(?:{_ODD}client{_ANY}|-client{_ODD}))cert",
)
"""Match, in lower case, the names that are taken off: x-forwarded-client-cert itself is not among them. They are two,
as Envoy bounds what a regular expression may become (100 instructions)."""


def mutations(said: Caller) -> list[mutation_rules_pb2.HeaderMutation]:
    out = []
    for names in LOOK_ALIKES:
        off = mutation_rules_pb2.HeaderMutation()
        off.remove_on_match.key_matcher.safe_regex.regex = names
        out.append(off)
    if said is Caller.TOLD:
        told = mutation_rules_pb2.HeaderMutation()
        told.append.header.key, told.append.header.value = HEADER, IDENTITY
        told.append.append_action = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        out.append(told)
    return out


def early(
    mutations: Iterable[mutation_rules_pb2.HeaderMutation], manager: manager_pb2.HttpConnectionManager
) -> None:
    """What is done to the headers of a request before all else."""
    out = header_mutation_pb2.HeaderMutation(mutations=mutations)
    manager.early_header_mutation_extensions.add(
        name="envoy.http.early_header_mutation.header_mutation", typed_config=wire.pack(out)
    )
