"""RE2's regular expressions, run by Python's `re`: where both mean the same, and refused where they do not.

Both take the leftmost alternative first, so what matches, and what a group holds, is the same. Each piece of the syntax
is written anew for Python: `$` is the end alone, `\\z` its own, classes have RE2's members, flags begin where they
stand. Refused: Unicode classes, `(?U)`, `(?m)`, and text that is not ASCII beside `(?i)`. `resources.semantics.regex`
has said before that it is RE2's syntax.
# RE2: https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import re
from functools import lru_cache

_COUNT = re.compile(r"\{\d+(,\d*)?\}")
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")
_HEX = re.compile(r"x(?:\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{2}))")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t\x20", "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": r"\x20-~", "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r\x20", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_PERL = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r\x20"}
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_EVERY = r"\x00-\U0010ffff"


class Undetermined(Exception):
    """What cannot be told here and is not guessed."""


def full_match(pattern: str, text: str) -> bool:
    """Raises Undetermined."""
    return compiled(pattern, text.isascii()).fullmatch(text) is not None


def replace_all(pattern: str, substitution: str, text: str) -> str:
    """As RE2's GlobalReplace: an empty match right behind another is none; `\\0` is all of a match, `\\1` a group.
    Raises Undetermined."""
    expression = compiled(pattern, text.isascii())
    out: list[str] = []
    at, last_end = 0, -1
    while at <= len(text):
        found = expression.search(text, at)
        if found is None:
            break
        out.append(text[at : found.start()])
        if found.start() == found.end() == last_end:
            if at < len(text):
                out.append(text[at])
            at += 1
            continue
        out.append(_substituted(substitution, found))
        at = last_end = found.end()
    return "".join(out) + text[at:]


def _substituted(substitution: str, found: re.Match[str]) -> str:
    def part(escape: re.Match[str]) -> str:
        if escape[1] == "\\":
            return "\\"
        number = int(escape[1])
        if number > found.re.groups:
            raise Undetermined(f"the rewrite {substitution!r} names a group that the expression lacks")
        return found[number] or ""

    return re.sub(r"\\([0-9\\])", part, substitution)


@lru_cache(maxsize=4096)
def compiled(pattern: str, ascii_text: bool = True) -> re.Pattern[str]:
    """Raises Undetermined."""
    translated = _Translation(pattern)
    if translated.folds and not (ascii_text and pattern.isascii()):
        raise Undetermined(f"{pattern!r}: (?i) beside text that is not ASCII is not evaluated here")
    try:
        return re.compile(translated.text, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise Undetermined(f"{pattern!r} cannot be evaluated here: {error}") from error


class _Translation:
    """Reads once from left to right."""

    def __init__(self, pattern: str) -> None:
        self.source = pattern
        self.at = 0
        self.folds = False
        self.text = self._alternatives(frozenset())

    # A flag holds to the end of its group, over every `|`: each piece of an alternative stands in a group of its own.

    def _alternatives(self, flags: frozenset[str]) -> str:
        out: list[str] = []
        piece: list[str] = []
        opened = flags

        def close() -> None:
            if piece:
                out.append(_scoped("".join(piece), opened))
                piece.clear()

        while self.at < len(self.source):
            char = self.source[self.at]
            if char == ")":
                break
            if char == "|":
                self.at += 1
                close()
                out.append("|")
                continue
            if char == "(":
                changed = _FLAGS.match(self.source, self.at)
                if changed and changed[3] == ")":
                    close()
                    opened = self._flags(changed, opened)
                    self.at = changed.end()
                    continue
            piece.append(self._item(opened))
        close()
        return "".join(out)

    def _flags(self, changed: re.Match[str], flags: frozenset[str]) -> frozenset[str]:
        on, off = set(changed[1]), set(changed[2] or "")
        if on & {"m", "U"}:
            raise Undetermined(f"{self.source!r}: (?{changed[1]}) is not evaluated here")
        self.folds = self.folds or "i" in on
        return frozenset((flags | on) - off)

    def _item(self, flags: frozenset[str]) -> str:
        return self._atom(flags) + self._repetition()

    def _repetition(self) -> str:
        text, at = self.source, self.at
        count = _COUNT.match(text, at)
        if count is None and text[at : at + 1] not in ("*", "+", "?"):
            return ""
        end = count.end() if count else at + 1
        if text[end : end + 1] == "?":
            end += 1
        self.at = end
        return text[at:end]

    def _atom(self, flags: frozenset[str]) -> str:
        text = self.source
        char = text[self.at]
        if char == "(":
            return self._group(flags)
        if char == "[":
            return self._class()
        if text.startswith("\\Q", self.at):
            return self._quoted()
        if char == "\\":
            return self._escape()
        self.at += 1
        if char == "$":
            return r"\Z"
        if char == "^":
            return r"\A"
        if char == ".":
            return f"[{_EVERY}]" if "s" in flags else "[^\\n]"
        return re.escape(char)

    def _quoted(self) -> str:
        end = self.source.find("\\E", self.at)
        quoted = self.source[self.at + 2 : end if end >= 0 else None]
        self.at = len(self.source) if end < 0 else end + 2
        if not quoted:
            return ""
        # What is repeated is the last character alone.
        return "".join(re.escape(char) for char in quoted)

    def _group(self, flags: frozenset[str]) -> str:
        named = _NAMED.match(self.source, self.at)
        changed = _FLAGS.match(self.source, self.at)
        if named:
            self.at, head = named.end(), "("
        elif changed:
            flags = self._flags(changed, flags)
            self.at, head = changed.end(), "(?:"
        else:
            self.at, head = self.at + 1, "("
        inside = self._alternatives(flags)
        self.at += 1
        return f"{head}{inside})"

    def _escape(self) -> str:
        char = self.source[self.at + 1]
        if char in "AbB":
            self.at += 2
            return f"\\{char}"
        if char == "z":
            self.at += 2
            return r"\Z"
        if char.lower() in _PERL:
            self.at += 2
            return f"[{'' if char.islower() else '^'}{_PERL[char.lower()]}]"
        return re.escape(self._character())

    def _character(self) -> str:
        """The one that an escape means."""
        start = self.at + 1
        char = self.source[start]
        if char in "pP":
            raise Undetermined(f"{self.source!r}: Unicode classes are not evaluated here")
        for expression, base in ((_HEX, 16), (_OCTAL, 8)):
            found = expression.match(self.source, start)
            if found:
                self.at = found.end()
                digits = (found[1] or found[2]) if base == 16 else found[0]
                return chr(int(digits, base))
        self.at += 2
        return _CONTROL.get(char, char)

    def _class(self) -> str:
        text = self.source
        self.at += 1
        inverted = text.startswith("^", self.at)
        self.at += inverted
        members: list[str] = []
        first = True
        while first or text[self.at] != "]":
            first = False
            members.append(self._member())
        self.at += 1
        return f"[{'^' if inverted else ''}{''.join(members)}]"

    def _member(self) -> str:
        text = self.source
        posix = re.compile(r"\[:(\^?)([a-z]+):\]").match(text, self.at)
        if posix:
            self.at = posix.end()
            if posix[1]:
                raise Undetermined(f"{text!r}: {posix[0]} is not evaluated here")
            return _POSIX[posix[2]]
        if text[self.at] == "\\" and text[self.at + 1].lower() in _PERL:
            char = text[self.at + 1]
            if char.isupper():
                raise Undetermined(f"{text!r}: \\{char} within a class is not evaluated here")
            self.at += 2
            return _PERL[char]
        low = self._single()
        if text.startswith("-", self.at) and text[self.at + 1 : self.at + 2] not in ("", "]"):
            self.at += 1
            return f"{_in_class(low)}-{_in_class(self._single())}"
        return _in_class(low)

    def _single(self) -> str:
        if self.source[self.at] == "\\":
            return self._character()
        self.at += 1
        return self.source[self.at - 1]


def _in_class(char: str) -> str:
    return char if char.isalnum() and char.isascii() else f"\\U{ord(char):08x}"


def _scoped(text: str, flags: frozenset[str]) -> str:
    return f"(?i:{text})" if "i" in flags else text
