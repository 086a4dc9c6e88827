"""Whether a text is a regular expression that Envoy compiles: in RE2's syntax, and within its bounds.

A scanner, not an engine: it accepts what RE2 accepts and says why it refuses the rest (look-around, back references,
unbalanced groups, nested repetition). Python's own `re` differs on both sides, so it is not asked.

Facts (Envoy 1.40, seen): it compiles the bytes of the text as Latin-1, so a character above U+00FF cannot be written as
an escape; counts within counts may multiply to 1000; a program of more than `re2.max_program_size.error_level`
instructions (the agent sets MAX_PROGRAM) is refused, and with it the whole route configuration.
# RE2: https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import re

from msgspec import Struct

MAX_BYTES = 1024  # Istio's bound; RE2's program is larger than its text
MAX_PROGRAM = 32768
_MAX_REPEAT = 1000
_MAX_CODE = 0xFF
_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}")
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")
_POSIX_CLASS = re.compile(r"\[:\^?([a-z]+):\]")
_PROPERTY = re.compile(r"[pP](?:\{\^?([A-Za-z_]+)\}|([A-Z]))")
_HEX = re.compile(r"x(?:\{([0-9A-Fa-f]{1,8})\}|[0-9A-Fa-f]{2})")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_POSIX = re.compile(r"alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit")
_CATEGORY = re.compile(r"Any|C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?")
_SCRIPT = re.compile(r"[A-Z][a-z]+(?:_[A-Z][a-z]+)*")


class _Refused(Exception):
    pass


def problem(pattern: str) -> str | None:
    """What is wrong with it, or None."""
    if len(pattern.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return f"has more than {MAX_BYTES} bytes; write a shorter regular expression"
    return syntax(pattern)


def syntax(pattern: str) -> str | None:
    try:
        _scan(pattern.encode("utf-8", "surrogatepass").decode("latin-1"))
    except _Refused as refused:
        return f"{pattern[:80]!r} is not an RE2 regular expression: {refused}"
    return None


def _scan(text: str) -> None:
    at, names = 0, set[str]()
    item = ""  # what a repetition would apply to: "" nothing, "atom", "repeat"
    groups = [_Size()]  # those that are open
    last = _Size()  # of the item
    while at < len(text):
        start, char = at, text[at]
        if char == "(":
            at, opened = _group(text, at, names)
            groups += [_Size(2)] * opened
            item = "" if opened else item and "atom"
        elif char == ")":
            if len(groups) == 1:
                raise _Refused("')' without '('")
            at, item, last = at + 1, "atom", groups.pop()
            groups[-1] = groups[-1].with_item(last)
        elif char == "|":
            at, item = at + 1, ""
            groups[-1] = groups[-1].with_item(_Size(1))
        elif char in "*+?" or (char == "{" and _COUNT.match(text, at)):
            if item == "":
                raise _Refused(f"nothing to repeat before {char!r}")
            if item == "repeat":
                raise _Refused(f"{char!r} after a repetition; group what is to be repeated")
            after, times = _repeat(text, at), _times(text, at)
            at, item, last = after, "repeat", last.repeated(times)
            groups[-1] = groups[-1].with_item(last)
        else:
            at, atom = _atom(text, at)
            item = "atom" if atom else item
            last = _Size(max(at - start, _CLASS) if char in "[\\." else 1)
            groups[-1] = groups[-1].with_item(last)
    if len(groups) > 1:
        raise _Refused("'(' without ')'")
    if groups[0].program > MAX_PROGRAM:
        raise _Refused(f"it may become more than {MAX_PROGRAM} instructions; repeat less of it")


_CLASS = 8  # instructions, of the largest class that has a name


class _Size(Struct, frozen=True):
    """Of a part: its instructions, at most, and what the counts in it multiply to."""

    program: int = 0
    times: int = 1

    def with_item(self, item: _Size) -> _Size:
        return _Size(self.program + item.program, max(self.times, item.times))

    def repeated(self, times: int) -> _Size:
        """Beside the item itself, which is there once already."""
        if self.times * times > _MAX_REPEAT:
            raise _Refused(
                f"counts within each other make {self.times * times} of one item, more than {_MAX_REPEAT}"
            )
        return _Size((self.program + 1) * times + 1, self.times * times)


def _atom(text: str, at: int) -> tuple[int, bool]:
    """The position after it; whether it is anything that can be repeated."""
    if text[at] == "[":
        return _class(text, at), True
    if text.startswith("\\Q", at):
        end = text.find("\\E", at)
        there = end != at + 2 and at + 2 < len(text)
        return (len(text) if end < 0 else end + 2), there
    if text[at] == "\\":
        return _escape(text, at, outside="AbBz"), True
    return at + 1, True


def _group(text: str, at: int, names: set[str]) -> tuple[int, int]:
    """The position after the head of a group, and 1 where it opens one (flags alone do not)."""
    if not text.startswith("(?", at):
        return at + 1, 1
    if text.startswith(("(?=", "(?!", "(?<=", "(?<!"), at):
        raise _Refused("look-around is not supported; match the whole value, or use withoutHeaders")
    if text.startswith("(?P=", at):
        raise _Refused("back references are not supported")
    named = _NAMED.match(text, at)
    if named:
        if named[1] in names:  # Envoy would take it; Istio's validation (Go's regexp) does not
            raise _Refused(f"two groups have the name {named[1]!r}")
        names.add(named[1])
        return named.end(), 1
    flags = _FLAGS.match(text, at)
    if not flags or (flags[3] == ")" and flags.end() - at == 3):
        raise _Refused(f"group {text[at : at + 4]!r} is not known")
    return flags.end(), int(flags[3] == ":")


def _times(text: str, at: int) -> int:
    """By how much a repetition multiplies what it repeats. # RE2: parse.cc, RepetitionWalker: counts alone"""
    count = _COUNT.match(text, at)
    if count is None:
        return 1
    written = count[3] or count[1]
    return max(1, int(written)) if len(written) < 6 else 1  # more: `_repeat` refuses it


def _repeat(text: str, at: int) -> int:
    count = _COUNT.match(text, at)
    if count:
        low = int(count[1]) if len(count[1]) < 6 else _MAX_REPEAT + 1
        high = int(count[3]) if count[3] and len(count[3]) < 6 else (_MAX_REPEAT + 1 if count[3] else low)
        if low > _MAX_REPEAT or high > _MAX_REPEAT or low > high:
            raise _Refused(f"{count[0]!r} is not a count of 0 to {_MAX_REPEAT}, the smaller number first")
        at = count.end()
    else:
        at += 1
    return at + 1 if text.startswith("?", at) else at


def _class(text: str, at: int) -> int:
    """The position after `[…]`."""
    start = at
    at += 2 if text.startswith("[^", at) else 1
    first = True
    while True:
        if at >= len(text):
            raise _Refused(f"'[' without ']' in {text[start : start + 20]!r}")
        if text[at] == "]" and not first:
            return at + 1
        first = False
        posix = _POSIX_CLASS.match(text, at)
        if posix:
            if not _POSIX.fullmatch(posix[1]):
                raise _Refused(f"character class {posix[0]!r} is not known")
            at = posix.end()
            continue
        after, low = _member(text, at)
        if low and text.startswith("-", after) and after + 1 < len(text) and text[after + 1] != "]":
            after, high = _member(text, after + 1)
            if not high or _code(low) > _code(high):
                raise _Refused(f"range {text[at:after]!r} runs backwards")
        at = after


def _member(text: str, at: int) -> tuple[int, str]:
    """The position after one member of a class, and its text where it is a single character."""
    if text[at] != "\\":
        return at + 1, text[at]
    after = _escape(text, at, outside="")
    return after, "" if text[at + 1] in "dDsSwWpP" else text[at:after]


def _code(member: str) -> int:
    if member[0] != "\\" or len(member) == 1:
        return ord(member)
    body = member[1:]
    if body[0] == "x":
        return int(body[1:].strip("{}"), 16)
    if body[0].isdigit():
        return int(body, 8)
    return ord({"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}.get(body, body))


def _escape(text: str, at: int, outside: str) -> int:
    """The position after a backslash and what belongs to it. `outside`: escapes that stand outside classes only."""
    if at + 1 >= len(text):
        raise _Refused("it ends with a backslash")
    char = text[at + 1]
    if char in "dDsSwWafnrtv" or char in outside:
        return at + 2
    if char.isascii() and not char.isalnum():
        return at + 2
    named = _PROPERTY.match(text, at + 1)
    if named:
        name = named[1] or named[2]
        if not _CATEGORY.fullmatch(name) and not (len(name) > 2 and _SCRIPT.fullmatch(name)):
            raise _Refused(f"Unicode class {name!r} is not known")
        return named.end()
    code = _HEX.match(text, at + 1)
    if code and int(code[1] or "0", 16) <= _MAX_CODE:
        return code.end()
    octal = _OCTAL.match(text, at + 1)
    if octal:
        return octal.end()
    if char in "123456789":
        raise _Refused("back references are not supported")
    raise _Refused(f"'\\{char}' is not a known escape")
