"""What `argosy get` prints: the columns that kubectl shows too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from argosy.cli.printing import as_text, rows
from argosy.resources.kinds import by_resource

MADE = (datetime.now(UTC) - timedelta(days=100)).isoformat()
SERVICE: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": MADE},
    "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}},
}


def test_a_table_has_the_columns_of_the_kind() -> None:
    kind = by_resource("/services")
    assert kind is not None
    titles, told = rows(kind, [SERVICE], wide=False, namespaces=False)
    assert titles == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert told == [["web", "ClusterIP", "<none>", "<none>", "80/TCP", "100d"]]


def test_a_wide_table_has_them_all_and_one_of_all_namespaces_says_which() -> None:
    kind = by_resource("/services")
    assert kind is not None
    titles, told = rows(kind, [SERVICE], wide=True, namespaces=True)
    assert (titles[0], titles[-1]) == ("NAMESPACE", "SELECTOR")
    assert (told[0][0], told[0][-1]) == ("shop", "app=web")


def test_cells_are_text() -> None:
    assert [as_text(cell) for cell in (None, True, 3, 1.5, "a")] == ["", "true", "3", "1.5", "a"]
