"""How the API says no: a `Status` object, always; and which of them each error is.

Rule: a message is for a person, `reason` and `details.causes` are for programs; clients of Kubernetes read both.
# Kubernetes: meta/v1 Status, StatusReason, StatusDetails, StatusCause
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from argosy.resources.kinds import Kind
from argosy.resources.problem import Problem
from argosy.store.base import AlreadyExists, Compacted, Conflict, NotFound, StoreError, TooLarge, Unavailable

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    500: "InternalError",
    503: "ServiceUnavailable",
}

MOST_CAUSES = 100
"""Of what is wrong with an object, so much is told at once."""
ATTEMPTS = 10
"""How often a write is tried where others are always faster."""


class Refusal(Exception):
    """Ends a request: `status` is the object the client gets."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str = "",
        details: dict[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers
        self.status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason or REASONS.get(code, "Unknown"),
            **({"details": details} if details else {}),
            "code": code,
        }

    def response(self) -> Response:
        return Response(
            msgspec.json.encode(self.status), self.code, dict(self.headers), media_type="application/json"
        )


def not_found(kind: Kind, name: str) -> Refusal:
    return Refusal(404, f'{qualified(kind)} "{name}" not found', details=named(kind, name))


def already_exists(kind: Kind, name: str) -> Refusal:
    return Refusal(
        409, f'{qualified(kind)} "{name}" already exists', reason="AlreadyExists", details=named(kind, name)
    )


def overtaken(kind: Kind, name: str) -> Refusal:
    return conflict(kind, name, f"others changed it {ATTEMPTS} times meanwhile: try again")


def conflict(kind: Kind, name: str, why: str) -> Refusal:
    return Refusal(
        409,
        f'Operation cannot be fulfilled on {qualified(kind)} "{name}": {why}',
        details=named(kind, name),
    )


def invalid(kind: Kind, name: str, problems: Sequence[Problem]) -> Refusal:
    """422 with one cause for each problem, within bounds."""
    said = _said(problems)
    causes = [
        {"reason": "FieldValueInvalid", "message": problem.message, "field": problem.field}
        for problem in problems[:MOST_CAUSES]
    ]
    label = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return Refusal(
        422,
        f'{label} "{name}" is invalid: {said if len(problems) == 1 else f"[{said}]"}',
        details={"name": name, "group": kind.group, "kind": kind.kind, "causes": causes},
    )


def _said(problems: Sequence[Problem]) -> str:
    told = [str(problem) for problem in problems[:MOST_CAUSES]]
    if len(problems) > MOST_CAUSES:
        told.append(f"and {len(problems) - MOST_CAUSES} more")
    return ", ".join(told)


def invalid_options(options: str, problems: Sequence[Problem]) -> Refusal:
    """422 for what a request asks beside its object: `options` is their kind, as `PatchOptions`."""
    said = ", ".join(str(problem) for problem in problems)
    causes = [
        {"reason": "FieldValueInvalid", "message": problem.message, "field": problem.field}
        for problem in problems
    ]
    return Refusal(
        422,
        f'{options}.meta.k8s.io "" is invalid: {said if len(problems) == 1 else f"[{said}]"}',
        details={"group": "meta.k8s.io", "kind": options, "causes": causes},
    )


def forbidden(kind: Kind, name: str, why: str, causes: Sequence[dict[str, str]] = ()) -> Refusal:
    """403 for what nobody may do just now, whoever asks."""
    details = named(kind, name) | ({"causes": list(causes)} if causes else {})
    return Refusal(403, f'{qualified(kind)} "{name}" is forbidden: {why}', details=details)


def bad_request(message: str) -> Refusal:
    return Refusal(400, message)


def no_such_path() -> Refusal:
    return Refusal(404, "the server could not find the requested resource")


def expired(message: str) -> Refusal:
    """What was asked for is of a time the store no longer knows: the client lists again."""
    return Refusal(410, message)


def method_not_allowed(method: str, what: str, allowed: Sequence[str], why: str = "") -> Refusal:
    message = f"{method} is not supported on {what}; supported: {', '.join(allowed)}"
    message += f" ({why})" if why else ""
    return Refusal(405, message, headers=(("Allow", ", ".join(allowed)),))


def unauthorized() -> Refusal:
    return Refusal(401, "Unauthorized", headers=(("WWW-Authenticate", "Bearer"),))


def refusal_of(error: Exception) -> Refusal:
    """The Refusal an error amounts to: 500 only for what is a defect of ours."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return no_such_path()
        return Refusal(error.status_code, error.detail, headers=tuple((error.headers or {}).items()))
    if isinstance(error, StoreError):
        return _of_store(error)
    return Refusal(500, "the server failed on this request: its log says why; please report it")


def success(kind: Kind, name: str, uid: str, revision: int) -> dict[str, Any]:
    """The answer to a delete; `revision` is that of the deletion."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": str(revision)} if revision else {},
        "status": "Success",
        "details": named(kind, name) | {"uid": uid},
    }


def named(kind: Kind, name: str) -> dict[str, Any]:
    return {"name": name, "group": kind.group, "kind": kind.plural}


def qualified(kind: Kind) -> str:
    """`virtualservices.networking.istio.io`; core kinds: `services`."""
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def _of_store(error: StoreError) -> Refusal:
    match error:
        case NotFound():
            return Refusal(404, str(error))
        case AlreadyExists():
            return Refusal(409, str(error), reason="AlreadyExists")
        case Conflict():
            return Refusal(409, str(error))
        case Compacted():
            return expired(str(error))
        case TooLarge():
            return Refusal(413, str(error))
        case Unavailable():
            return Refusal(503, str(error), headers=(("Retry-After", "1"),))
    return Refusal(500, str(error))
