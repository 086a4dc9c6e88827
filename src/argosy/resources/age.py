"""How long something is, in few characters, as tables tell it: `42s`, `7m30s`, `5h12m`, `3d4h`, `90d`, `2y40d`.

# Kubernetes: apimachinery util/duration HumanDuration: which units are told at which length
"""

from __future__ import annotations

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86400
YEAR = 365 * DAY
# Below this length -> in this unit, and with how much of it left over in the next
_SCALE = (
    (2 * MINUTE, (1, "s"), None),
    (10 * MINUTE, (MINUTE, "m"), (1, "s")),
    (3 * HOUR, (MINUTE, "m"), None),
    (8 * HOUR, (HOUR, "h"), (MINUTE, "m")),
    (2 * DAY, (HOUR, "h"), None),
    (8 * DAY, (DAY, "d"), (HOUR, "h")),
    (2 * YEAR, (DAY, "d"), None),
    (8 * YEAR, (YEAR, "y"), (DAY, "d")),
)
_CLOCKS_DIFFER = 2


def told(seconds: float) -> str:
    whole = int(seconds)
    if whole <= -_CLOCKS_DIFFER:
        return "<invalid>"
    whole = max(0, whole)
    for limit, (unit, name), rest in _SCALE:
        if whole < limit:
            left = whole % unit // rest[0] if rest else 0
            return f"{whole // unit}{name}" + (f"{left}{rest[1]}" if rest and left else "")
    return f"{whole // YEAR}y"


def since(moment: object, now: datetime) -> str | None:
    """Of a time as objects write it (RFC 3339); None where it is none."""
    if not isinstance(moment, str) or not moment:
        return None
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return told((now - then).total_seconds()) if then.tzinfo else None
