"""RE2's expressions, run by Python's: the same answers, or none."""

from __future__ import annotations

import pytest

from argosy.explain.regex import Undetermined, compiled, full_match, replace_all


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("/a.*", "/abc", True),
        ("/a", "/ab", False),  # the whole value
        ("a$", "a\n", False),  # the end alone
        (r"a\z", "a", True),
        ("(?i)ab|Cd", "CD", True),
        ("a(?i)b|c", "C", True),  # a flag holds over the bar …
        ("a(?i)b|c", "AB", False),  # … and not before it
        ("(?i:ab)c", "ABc", True),
        ("(?i:ab)c", "ABC", False),
        ("(?i)a(?-i)b", "AB", False),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("[[:alpha:]_]+", "ab_", True),
        ("[[:alpha:]]+", "a1", False),
        (r"[^\d]+", "ab", True),
        (r"\d+", "٣", False),  # ASCII alone
        (r"\s", "\v", False),
        (r"\x{41}\x42\103", "ABC", True),
        (r"\Qa.b\E+", "a.bb", True),
        ("x{,5}", "x{,5}", True),  # no repetition in RE2
        ("x{2,3}?", "xxx", True),
        ("[]a]+", "]a", True),
        (r"[a\-z]+", "-", True),
        ("[a-c]+", "abc", True),
        ("(a|b)*c", "ababc", True),
        ("a||b", "", True),
        ("(?P<n>a)(?<m>b)", "ab", True),
        (r"\bab\b", "ab", True),
        (r"a\.b", "axb", False),
        ("é+", "éé", True),
    ],
)
def test_the_whole_value_is_matched_as_re2_matches_it(pattern: str, text: str, matches: bool) -> None:
    assert full_match(pattern, text) is matches, compiled(pattern).pattern


@pytest.mark.parametrize("pattern", [r"\pL", "(?U)a+", "(?m)^a", r"[\D]", "[[:^alpha:]]", "(?i)é"])
def test_what_python_means_otherwise_is_not_guessed(pattern: str) -> None:
    with pytest.raises(Undetermined):
        full_match(pattern, "a")


@pytest.mark.parametrize(
    ("pattern", "substitution", "text", "result"),
    [
        ("x*", "-", "abxc", "-a-b-c-"),  # an empty match behind another is none
        ("b", "BB", "abab", "aBBaBB"),
        ("^/a/(.*)$", r"/z/\1", "/a/q", "/z/q"),
        ("/([^/]+)/?", r"/\1\1", "/a/b", "/aab"),
        ("a", r"[\0]\\", "a", "[a]\\"),
        ("(a)|(b)", r"<\2>", "a", "<>"),
    ],
)
def test_all_matches_are_replaced_as_re2_does(
    pattern: str, substitution: str, text: str, result: str
) -> None:
    assert replace_all(pattern, substitution, text) == result


def test_a_group_that_is_not_there_is_told() -> None:
    with pytest.raises(Undetermined, match="lacks"):
        replace_all("a", r"\1", "a")
