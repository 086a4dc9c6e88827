"""The query parameters that the API understands, parsed: one refusal for each that it cannot make sense of.

Facts: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from msgspec import Struct
from starlette.datastructures import QueryParams

from argosy.apiserver import selectors
from argosy.apiserver.selectors import Selector
from argosy.apiserver.status import bad_request, expired

VALIDATIONS = ("Strict", "Warn", "Ignore")
MATCHES = ("", "Exact", "NotOlderThan")
LARGEST_REVISION = (1 << 63) - 1
LONGEST_WATCH = 24 * 3600


class WriteOptions(Struct, frozen=True):
    strict: bool  # unknown fields are errors
    dry_run: bool


class ReadOptions(Struct, frozen=True, kw_only=True):
    selector: Selector
    revision: int | None  # None: not given, or 0 (any)
    watch: bool
    exact: bool
    timeout: float | None
    bookmarks: bool
    initial_events: bool


def write_options(query: QueryParams) -> WriteOptions:
    """Unknown fields are refused unless the client asks otherwise: nothing is lost without a word."""
    validation = query.get("fieldValidation") or "Strict"
    if validation not in VALIDATIONS:
        raise bad_request(f"fieldValidation: {validation!r} is none of {', '.join(VALIDATIONS)}")
    dry = [value for value in query.getlist("dryRun") if value]
    if any(value != "All" for value in dry):
        raise bad_request(f"dryRun: {dry[0]!r} is not All")
    return WriteOptions(strict=validation == "Strict", dry_run=bool(dry))


def read_options(query: QueryParams) -> ReadOptions:
    match = query.get("resourceVersionMatch") or ""
    if match not in MATCHES:
        raise bad_request(f"resourceVersionMatch: {match!r} is neither Exact nor NotOlderThan")
    if query.get("continue"):
        # Lists are never cut here, so the token is of another server or another time.
        raise expired("continue: the token is not of this list: list again from the beginning")
    given = revision(query.get("resourceVersion") or "", "resourceVersion")
    if match and given is None and not query.get("resourceVersion") and not _truth(query, "watch"):
        raise bad_request("resourceVersionMatch: needs a resourceVersion")
    return ReadOptions(
        selector=selectors.parse(query.get("labelSelector") or "", query.get("fieldSelector") or ""),
        revision=given,
        watch=_truth(query, "watch"),
        exact=match == "Exact",
        timeout=_seconds(query, "timeoutSeconds"),
        bookmarks=_truth(query, "allowWatchBookmarks"),
        initial_events=_truth(query, "sendInitialEvents"),
    )


def revision(text: str, field: str) -> int | None:
    """A revision, or None for "" and 0. Raises Refusal (400)."""
    if text and not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LARGEST_REVISION):
        raise bad_request(f"{field}: {text[:40]!r} is not a revision of this server")
    return int(text) or None if text else None


def _truth(query: QueryParams, name: str) -> bool:
    if name not in query:
        return False
    text = query[name].lower()
    if text not in ("", "true", "1", "false", "0"):
        raise bad_request(f"{name}: {text[:40]!r} is neither true nor false")
    return text not in ("false", "0")  # `?watch` alone is true


def _seconds(query: QueryParams, name: str) -> float | None:
    text = query.get(name) or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_request(f"{name}: {text[:40]!r} is not a number of seconds")
    return float(min(int(text), LONGEST_WATCH)) or None
