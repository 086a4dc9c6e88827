"""The table of codes in docs/analyze.md is that of the code: `python -m tests.unit.explain.analysis.test_documented`
writes it."""

from __future__ import annotations

import re
from pathlib import Path

from argosy.explain.analysis.analyze import ALL
from argosy.explain.analysis.applied import RULES
from argosy.explain.analysis.catalogue import MESSAGES

PAGE = Path(__file__).parents[4] / "docs" / "analyze.md"
BEGIN, END = "<!-- codes: begin -->\n", "<!-- codes: end -->"
AT_APPLY = {name for each in ALL if each.rules and not each.kubernetes for name in each.names}
AS_VALIDATED = {"VirtualServiceUnreachableRule", "SchemaWarning", "Deprecated"}
"""Warned of at apply by validation, and found on the object again."""


def table() -> str:
    lines = [
        "| code | message | level | looked for in | at apply, and on the object |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in MESSAGES:
        analyzers = [one for one in ALL if each.name in one.names]
        kinds = dict.fromkeys(kind.partition(".")[0] for one in analyzers for kind in one.kinds)
        if not analyzers:
            where = "not looked for" if each.name != "InternalError" else "anything: an analyzer failed"
        elif any(one.rules for one in analyzers):
            where = ", ".join(kinds)
        else:
            where = "files alone" if all(one.kubernetes for one in analyzers) else "all objects"
        told = each.level.label != "Info" and each.name in (AT_APPLY | AS_VALIDATED | {"InternalError"})
        lines.append(
            f"| {each.code} | {each.name} | {each.level.label} | {where} | {'yes' if told else ''} |"
        )
    return "\n".join(lines) + "\n"


def test_the_page_has_every_code_as_it_is() -> None:
    text = PAGE.read_text()
    assert text.partition(BEGIN)[2].partition(END)[0] == table(), f"python -m {__name__}"


def test_what_is_said_not_to_be_found_is_what_no_analyzer_finds() -> None:
    found = {code for each in ALL for code in each.codes} | {"IST0001"}
    page = re.search(r"Not found, as objects do not say it:(.*?)\n\n", PAGE.read_text(), re.DOTALL)
    assert page is not None
    told = set(re.findall(r"IST\d{4}", page[1])) - {"IST0163"}  # of which a part is asked
    assert told == {each.code for each in MESSAGES} - found


def test_every_kind_with_rules_is_in_the_table() -> None:
    assert all(kind.partition(".")[0] in table() for kind in RULES)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}")
