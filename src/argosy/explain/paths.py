"""A request's path as a proxy routes it: normalised, but with double and escaped slashes as they are.

# Envoy: normalize_path is Chromium's canonicalisation of a path; Istio: pathNormalization BASE
"""

from __future__ import annotations

import re

_ESCAPED = re.compile('[\x00-\x20"#<>^`{|}\x7f-\uffff\U00010000-\U0010ffff]')
"""What is written as `%XX`."""
_UNESCAPED = re.compile(r"%(2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")
"""Escapes of letters, digits, `-`, `.`, `_` and `~`, which need none."""


def without_query(path: str) -> str:
    return re.split("[?#]", path, maxsplit=1)[0]


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
