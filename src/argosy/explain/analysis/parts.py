"""Reading objects as they were written, whatever they are: what is not there, or of another form, is empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]


def at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def mapping(value: Any, *path: str) -> Json:
    found = at(value, *path)
    return found if isinstance(found, dict) else {}


def text(value: Any, *path: str) -> str:
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str) -> int | None:
    """Of a number, or of text that is one."""
    found = at(value, *path)
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return found
    if isinstance(found, float) and found.is_integer():
        return int(found)
    return int(found) if isinstance(found, str) and found.isdecimal() and len(found) < 10 else None


def listed(value: Any, *path: str) -> list[Any]:
    found = at(value, *path)
    return found if isinstance(found, list) else []


def objects(value: Any, *path: str) -> Iterator[tuple[int, Json]]:
    """The mappings of a list, each with its place."""
    for index, item in enumerate(listed(value, *path)):
        if isinstance(item, dict):
            yield index, item


def texts(value: Any, *path: str) -> list[str]:
    return [item for item in listed(value, *path) if isinstance(item, str)]


def labels(value: Any, *path: str) -> dict[str, str]:
    return {key: item for key, item in mapping(value, *path).items() if isinstance(item, str)}


def selects(selector: Mapping[str, str], of: Mapping[str, str]) -> bool:
    """Whether ALL of the selector's labels are there; an empty selector selects everything."""
    return all(of.get(key) == value for key, value in selector.items())


def written(selector: Mapping[str, str]) -> str:
    """`app=reviews,version=v1`."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))


def label_selector_selects(selector: Any, of: Mapping[str, str]) -> bool:
    """Of a LabelSelector with matchLabels and matchExpressions; none selects everything.

    # Kubernetes: meta/v1 LabelSelector
    """
    if not isinstance(selector, dict):
        return True
    if not selects(labels(selector, "matchLabels"), of):
        return False
    return all(_holds(expression, of) for _, expression in objects(selector, "matchExpressions"))


def _holds(expression: Json, of: Mapping[str, str]) -> bool:
    key, values = text(expression, "key"), texts(expression, "values")
    match text(expression, "operator"):
        case "In":
            return of.get(key) in values
        case "NotIn":
            return of.get(key) not in values
        case "Exists":
            return key in of
        case "DoesNotExist":
            return key not in of
    return False


def joined(parts: Iterable[object]) -> str:
    return ", ".join(str(part) for part in parts)
