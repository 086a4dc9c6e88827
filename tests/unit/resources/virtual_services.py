"""VirtualServices as people write them, short."""

from typing import Any

TO = [{"destination": {"host": "reviews"}}]


def vs(**fields: Any) -> dict[str, Any]:
    return {"hosts": ["reviews"], "http": [{"route": TO}]} | fields


def route(**fields: Any) -> dict[str, Any]:
    return vs(http=[{"route": TO} | fields])


def match(**fields: Any) -> dict[str, Any]:
    return route(match=[fields])


def only(**fields: Any) -> dict[str, Any]:
    return vs(http=[fields])
