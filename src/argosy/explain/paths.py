"""What a proxy does to a request's path before it routes it; which of this it does: arrival.py.

# Envoy: normalize_path is Chromium's canonicalisation of a path, merge_slashes, path_with_escaped_slashes_action
"""

from __future__ import annotations

import re

_ESCAPED = re.compile('[\x00-\x20"#<>^`{|}\x7f-\uffff\U00010000-\U0010ffff]')
"""What is written as `%XX`."""
_UNESCAPED = re.compile(r"%(2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")
"""Escapes of letters, digits, `-`, `.`, `_` and `~`, which need none."""

_SLASHES = re.compile("%(2[fF]|5[cC])")


def without_query(path: str) -> str:
    return re.split("[?#]", path, maxsplit=1)[0]


def has_escaped_slashes(path: str) -> bool:
    return _SLASHES.search(path.partition("?")[0]) is not None


def with_slashes(path: str) -> str:
    """With escaped slashes, and backslashes, as what they are."""
    bare, mark, query = path.partition("?")
    return _SLASHES.sub(lambda found: chr(int(found[1], 16)), bare) + mark + query


def has_nul(path: str) -> bool:
    """What cannot be normalised."""
    return "%00" in path.partition("?")[0]


def merged(path: str) -> str:
    """With one slash where there are several. Facts (Envoy): slashes alone stay two."""
    bare, mark, query = path.partition("?")
    if "//" not in bare:
        return path
    last = "/" if bare.endswith("/") else ""
    return "/" + "/".join(filter(None, bare.split("/"))) + last + mark + query


def normalised(path: str) -> str:
    """Of a path that begins with a slash."""
    bare, mark, query = path.partition("?")
    bare = bare.replace("\\", "/")
    bare = _UNESCAPED.sub(lambda found: chr(int(found[1], 16)), bare)
    bare = _ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), bare)
    return _without_dots(bare) + mark + query


def _without_dots(path: str) -> str:
    """Facts (Envoy 1.40, tried): parameters (`..;x`) do not make a dot segment another."""
    segments: list[str] = []
    parts = path.removeprefix("/").split("/")
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        name = part.partition(";")[0]
        if name == "..":
            if segments:
                segments.pop()
        elif name != ".":
            segments.append(part)
            continue
        if last:
            segments.append("")  # what a dot leaves ends with a slash
    return "/" + "/".join(segments)
