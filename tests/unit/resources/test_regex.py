"""RE2's syntax, judged without an RE2."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.resources.semantics import regex


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a",
        ".*",
        "^/v[0-9]+/users/(?P<id>[^/]+)$",
        "(?i)bearer .*",
        "a(?i)b",
        "(?i:a)|(?s-m:b)",
        "(?<year>\\d{4})",
        "x{0,1000}y{3}z{2,}?",
        "a{,5}",
        "{",
        "a{x}",
        "()*",
        "(|a)*",
        "^*",
        "[]a]",
        "[^]a]",
        "[a-z-]",
        "[-a]",
        "[[:alpha:]_]",
        "[\\d\\-z]",
        "[\\x41-\\x{5A}]",
        "\\pL\\p{Lu}\\P{Greek}\\p{^Nd}\\p{Old_Italic}",
        "\\x41\\x{FF}\\012\\123\\0",
        "((a{10}){10}){10}",
        "(?:a{2,}){500}",
        "a{1000}b{1000}",
        "(x(a{500})y|z){2}",
        "\\pL{1000}",
        "\\A\\b\\B\\z",
        "\\Q*+(\\E+",
        "\\Q[",
        "\\.\\/\\_\\-",
        "a*?b+?c??",
        "日本.*",
    ],
)
def test_re2_accepts(pattern: str) -> None:
    assert regex.problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(?=a)", "look-around"),
        ("a(?!b)", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        ("(a)\\1", "back references"),
        ("(?P<x>a)(?P=x)", "back references"),
        ("(?>a)", "is not known"),
        ("(?#c)a", "is not known"),
        ("(?x)a", "is not known"),
        ("(?)a", "is not known"),
        ("(?P<x>a)(?P<x>b)", "two groups"),
        ("(a", "without"),
        ("a)", "without"),
        ("*", "nothing to repeat"),
        ("a|*", "nothing to repeat"),
        ("(*a)", "nothing to repeat"),
        ("(?i)*", "nothing to repeat"),
        ("{2}", "nothing to repeat"),
        ("a**", "after a repetition"),
        ("a*+", "after a repetition"),
        ("a{2}{3}", "after a repetition"),
        ("a{1001}", "is not a count"),
        ("a{3,2}", "is not a count"),
        ("a{99999999999}", "is not a count"),
        ("[a", "without"),
        ("[z-a]", "backwards"),
        ("[[:nope:]]", "is not known"),
        ("\\", "backslash"),
        ("\\Z", "known escape"),
        ("\\C", "known escape"),
        ("\\u1234", "known escape"),
        ("\\x{100}", "known escape"),
        ("[\\xE9-é]", "backwards"),
        ("(a{32}){32}", "1024 of one item"),
        ("((a{10}){10}){11}", "1100 of one item"),
        ("(?:a{2,}){501}", "1002 of one item"),
        ("(\\pL\\pL\\pL\\pL\\pL){1000}", "more than 32768 instructions"),
        ("[\\b]", "known escape"),
        ("\\p{Nope1}", "known escape"),
        ("\\p{Xx}", "Unicode class"),
        ("a" * 1025, "1024"),
        ("é" * 513, "1024"),
    ],
)
def test_re2_refuses(pattern: str, says: str) -> None:
    problem = regex.problem(pattern)
    assert problem is not None
    assert says in problem


@given(st.text(alphabet="ab()[]{}|*+?\\^$.-,:<>=!PQExpd019i", max_size=24))
def test_any_text_is_judged(pattern: str) -> None:
    problem = regex.problem(pattern)
    assert problem is None or pattern[:80] in problem or "\\" in problem


@given(st.text(max_size=40))
def test_an_escaped_text_is_a_regular_expression(text: str) -> None:
    quoted = "".join(c if c.isalnum() or not c.isascii() or c == "_" else "\\" + c for c in text)
    assert regex.problem(quoted) is None


@given(st.text(alphabet="ab()|*+?.[]^$", max_size=16))
def test_on_what_both_have_it_agrees_with_python(pattern: str) -> None:
    """Without escapes, counts and flags the two syntaxes differ in possessive repeats and in `^*` alone."""
    if re.search(r"[*+?]\+|[\^$(|][*+?]|\(\?|\[\]|\[\^\]|\[\[", pattern):
        return
    try:
        re.compile(pattern)
        valid = True
    except re.error:
        valid = False
    assert (regex.problem(pattern) is None) == valid
