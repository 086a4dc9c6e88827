"""Extension providers of MeshConfig that decide for policies of CUSTOM.

Facts (Istio): whoever names a provider that is not there, or is wrong, is denied what its policy matches; so one that
is wrong in any part is none. (Which service it is, is looked up where it is asked.) Without a time-out it has 10
minutes. What is wrong with one is told by `semantics.extension_providers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from argosy.model.errors import LoweringError
from argosy.model.lower_http import milliseconds
from argosy.model.providers import Collector, ExternalAuthorization, RequestBody
from argosy.resources import providers
from argosy.resources.semantics import extension_providers as semantics

TIMEOUT = 600_000
KINDS = {"envoyExtAuthzHttp": providers.ExtAuthzHttp, "envoyExtAuthzGrpc": providers.ExtAuthzGrpc}


def lower(written: Iterable[dict[str, Any]]) -> tuple[tuple[str, ExternalAuthorization], ...]:
    """By name, sorted."""
    written = tuple(written)
    seen = Counter(one.get("name") for one in written if isinstance(one.get("name"), str))
    found = {}
    for one in written:
        name = one.get("name")
        given = [kind for kind in KINDS if kind in one]
        if not name or seen[name] != 1 or len(given) != 1:
            continue
        made = _lower(given[0], one[given[0]])
        if made is not None:
            found[name] = made
    return tuple(sorted(found.items()))


def _lower(kind: str, body: Any) -> ExternalAuthorization | None:
    if semantics.wrong_authorizer(kind, body):
        return None
    try:
        one = msgspec.convert(body, KINDS[kind], str_keys=True)
        timeout = milliseconds(one.timeout, "timeout")
    except (msgspec.ValidationError, LoweringError):
        return None
    made = ExternalAuthorization(
        http=isinstance(one, providers.ExtAuthzHttp),
        to=Collector(one.service.rpartition("/")[2], one.port),
        timeout=TIMEOUT if timeout is None else timeout,
        fail_open=one.fail_open,
        clear_route_cache=one.clear_route_cache,
        status_on_error=int(one.status_on_error or 0),
        body=_body(one.include_request_body_in_check),
    )
    return _of_http(made, one) if isinstance(one, providers.ExtAuthzHttp) else made


def _of_http(made: ExternalAuthorization, one: providers.ExtAuthzHttp) -> ExternalAuthorization:
    return msgspec.structs.replace(
        made,
        path_prefix=one.path_prefix,
        request_headers=one.include_request_headers_in_check or one.include_headers_in_check,
        added_headers=tuple(sorted(one.include_additional_headers_in_check.items())),
        upstream_headers=one.headers_to_upstream_on_allow,
        denied_headers=one.headers_to_downstream_on_deny,
        allowed_headers=one.headers_to_downstream_on_allow,
    )


def _body(written: providers.RequestBody | None) -> RequestBody | None:
    if written is None:
        return None
    return RequestBody(
        max_bytes=written.max_request_bytes,
        partial=written.allow_partial_message,
        as_bytes=written.pack_as_bytes,
    )
