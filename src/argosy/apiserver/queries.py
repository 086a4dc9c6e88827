"""The query parameters that the API understands, parsed: one refusal for each that it cannot make sense of.

Facts: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from starlette.datastructures import QueryParams

from argosy.apiserver import selectors
from argosy.apiserver.selectors import Selector
from argosy.apiserver.status import bad_request, invalid_options
from argosy.resources.problem import Problem

VALIDATIONS = ("Strict", "Warn", "Ignore")
MATCHES = ("", "Exact", "NotOlderThan")
LARGEST_REVISION = (1 << 63) - 1
LONGEST_WATCH = 24 * 3600
LONGEST_MANAGER = 128


class WriteOptions(Struct, frozen=True):
    validation: str = "Strict"  # of VALIDATIONS
    dry_run: bool = False
    manager: str = ""  # who writes, where the client says; "" as its User-Agent says
    force: bool = False

    @property
    def strict(self) -> bool:
        return self.validation == "Strict"

    def duplicates(self) -> list[Problem] | None:
        """Where fields that are there twice are noted; None: they are refused."""
        return None if self.strict else []


class ReadOptions(Struct, frozen=True, kw_only=True):
    selector: Selector
    revision: int | None  # None: not given, or 0 (any)
    watch: bool
    match: str  # of MATCHES
    timeout: float | None
    bookmarks: bool
    initial_events: bool | None  # None: as the revision says
    limit: int  # 0: no limit
    continues: str

    @property
    def exact(self) -> bool:
        """Whether a list is of that revision itself. A page without a match is, so that its pages belong together."""
        return self.revision is not None and (self.match == "Exact" or (not self.match and self.limit > 0))


def write_options(query: QueryParams, kind: str, *, applies: bool = False) -> WriteOptions:
    """Unknown fields are refused unless the client asks otherwise: nothing is lost without a word.

    `kind`: of the options, for people: `PatchOptions`. `applies`: it is a server-side apply.
    """
    problems = []
    validation = query.get("fieldValidation") or "Strict"
    if validation not in VALIDATIONS:
        problems.append(Problem("fieldValidation", _unsupported(validation, VALIDATIONS)))
    manager = query.get("fieldManager") or ""
    if len(manager.encode("utf-8", "surrogatepass")) > LONGEST_MANAGER:
        problems.append(Problem("fieldManager", f"is longer than {LONGEST_MANAGER} bytes"))
    elif not manager.isprintable():
        problems.append(Problem("fieldManager", f"{manager!r} has characters that cannot be printed"))
    elif applies and not manager:
        problems.append(Problem("fieldManager", "is required for apply patch"))
    if query.get("force") is not None and not applies:
        problems.append(Problem("force", "may not be specified for non-apply patch"))
    dry = dry_run(query.getlist("dryRun"), problems)
    if problems:
        raise invalid_options(kind, problems)
    return WriteOptions(validation, dry, manager, truth(query, "force") is True)


def dry_run(values: Sequence[str], problems: list[Problem]) -> bool:
    given = [value for value in values if value]
    wrong = [value for value in given if value != "All"]
    if wrong:
        problems.append(Problem("dryRun", _unsupported(wrong[0], ("All",))))
    return bool(given)


def read_options(query: QueryParams, resource: str) -> ReadOptions:
    """`resource`: of the kind that is read. Raises Refusal (400, 422)."""
    continues, given = query.get("continue") or "", query.get("resourceVersion") or ""
    options = ReadOptions(
        selector=selectors.parse(
            query.get("labelSelector") or "", query.get("fieldSelector") or "", resource
        ),
        revision=revision(given, "resourceVersion"),
        watch=truth(query, "watch") is True,
        match=query.get("resourceVersionMatch") or "",
        timeout=_seconds(query, "timeoutSeconds"),
        bookmarks=truth(query, "allowWatchBookmarks") is True,
        initial_events=truth(query, "sendInitialEvents"),
        limit=_limit(query),
        continues=continues,
    )
    if options.match not in MATCHES:
        problems = [Problem("resourceVersionMatch", _unsupported(options.match, MATCHES[1:]))]
    elif options.watch:
        problems = _watch_problems(options)
    else:
        problems = _list_problems(options, given)
    if problems:
        raise invalid_options("ListOptions", problems)
    if continues and options.revision is not None:
        raise bad_request("resourceVersion: may not be given with continue, which knows its revision")
    return options


def _list_problems(options: ReadOptions, given: str) -> list[Problem]:
    """The rules of resourceVersionMatch. # Kubernetes: "Semantics for get and list" """
    found = []
    if options.match and options.continues:
        found.append(Problem("resourceVersionMatch", "is forbidden when continue is provided"))
    elif options.match and not given:
        found.append(Problem("resourceVersionMatch", "is forbidden unless resourceVersion is provided"))
    elif options.match == "Exact" and options.revision is None:
        found.append(Problem("resourceVersionMatch", 'Exact is forbidden for resourceVersion "0"'))
    if options.initial_events is not None:
        found.append(Problem("sendInitialEvents", "is forbidden for list"))
    return found


def _watch_problems(options: ReadOptions) -> list[Problem]:
    if options.match and options.initial_events is None:
        return [
            Problem("resourceVersionMatch", "is forbidden for watch unless sendInitialEvents is provided")
        ]
    if options.initial_events is not None and options.match != "NotOlderThan":
        return [Problem("sendInitialEvents", "requires setting resourceVersionMatch to NotOlderThan")]
    return []


def revision(text: str, field: str) -> int | None:
    """A revision, or None for "" and 0. Raises Refusal (400)."""
    if text and not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LARGEST_REVISION):
        raise bad_request(f"{field}: {text[:40]!r} is not a revision of this server")
    return int(text) or None if text else None


def truth(query: QueryParams, name: str) -> bool | None:
    """None: not given."""
    if name not in query:
        return None
    text = query[name].lower()
    if text not in ("", "true", "t", "1", "false", "f", "0"):
        raise bad_request(f"{name}: {text[:40]!r} is neither true nor false")
    return text not in ("false", "f", "0")  # `?watch` alone is true


def _limit(query: QueryParams) -> int:
    text = query.get("limit") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise bad_request(f"limit: {text[:40]!r} is not a number of objects")
    return int(text)


def _unsupported(value: str, known: Sequence[str]) -> str:
    return f"Unsupported value: {value[:40]!r}: supported values: {', '.join(known)}"


def _seconds(query: QueryParams, name: str) -> float | None:
    text = query.get(name) or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_request(f"{name}: {text[:40]!r} is not a number of seconds")
    return float(min(int(text), LONGEST_WATCH)) or None
