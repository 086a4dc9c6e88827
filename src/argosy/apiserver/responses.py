"""Answers: JSON, and the warnings that travel beside it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from argosy.apiserver.representation import Form
from argosy.resources.problem import Problem
from argosy.store.base import Stored

WARNING_BYTES = 8 << 10
"""Warnings travel in headers, and clients bound those."""


def of_object(stored: Stored, form: Form, code: int = 200, warnings: Sequence[Problem] = ()) -> Response:
    return of_json(form.one(stored), code, warnings)


def of_json(body: bytes, code: int = 200, warnings: Sequence[Problem] = ()) -> Response:
    response = Response(body, code, media_type="application/json")
    left = WARNING_BYTES
    for problem in warnings:
        text = "".join(c if c.isprintable() else " " for c in str(problem))
        value = '299 - "{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"')).encode()
        if len(value) > left:
            response.raw_headers.append((b"warning", b'299 - "there are more warnings"'))
            break
        left -= len(value)
        response.raw_headers.append((b"warning", value))
    return response
