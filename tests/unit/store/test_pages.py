"""What every store lists: pages that belong together, of a moment that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.store.base import Compacted, Key, Listing, Store, Stored

ROUTES, SERVICES = "networking.istio.io/virtualservices", "/services"
Maker = Callable[..., Awaitable[Store]]


def keys(count: int) -> list[Key]:
    return [Key(ROUTES, f"n{i % 3}", f"o{i:02d}") for i in range(count)]


async def pages(store: Store, limit: int, resource: str | None = ROUTES) -> list[Listing]:
    """All pages of a list, the later ones of the moment of the first."""
    found = [await store.list(resource, limit=limit)]
    while found[-1].remaining:
        found.append(
            await store.list(resource, limit=limit, after=found[-1].items[-1].key, revision=found[0].revision)
        )
    return found


@pytest.mark.parametrize("limit", [1, 3, 9, 10, 11])
async def test_pages_make_up_the_whole_list(store: Store, limit: int) -> None:
    for key in [*keys(10), Key(SERVICES, "n0", "o01"), Key("z", "a", "b")]:
        await store.create(key, key.name.encode())
    whole = await store.list(ROUTES)
    found = await pages(store, limit)
    assert [item for page in found for item in page.items] == list(whole.items)
    assert [len(page.items) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert [page.remaining for page in found] == [max(0, 10 - limit * (i + 1)) for i in range(len(found))]
    assert {page.revision for page in found} == {whole.revision}


async def test_pages_of_a_namespace_and_of_everything(store: Store) -> None:
    for key in [*keys(9), Key(SERVICES, "n1", "o01"), Key("/namespaces", "", "n1")]:
        await store.create(key, b"")
    everything = await pages(store, 4, None)
    assert [item for page in everything for item in page.items] == list((await store.list()).items)
    first = await store.list(None, "n1", limit=2)
    rest = await store.list(None, "n1", limit=2, after=first.items[-1].key, revision=first.revision)
    assert [(item.key.resource, item.key.name) for item in (*first.items, *rest.items)] == [
        (SERVICES, "o01"),
        (ROUTES, "o01"),
        (ROUTES, "o04"),
        (ROUTES, "o07"),
    ]
    assert (first.remaining, rest.remaining) == (2, 0)


async def test_a_page_begins_after_a_key_that_need_not_be_there(store: Store) -> None:
    for key in keys(6):
        await store.create(key, b"")
    found = await store.list(ROUTES, after=Key(ROUTES, "n1", "o02"))
    assert [item.key.name for item in found.items] == ["o04", "o02", "o05"]
    assert (await store.list(ROUTES, after=Key(ROUTES, "z", ""))).items == ()


async def test_names_are_sorted_as_keys_are_whatever_stands_in_them(store: Store) -> None:
    names = ["a", "a-b", "a.b", "ab", "system:a", "ä", "A", "a b", "😀", "\uffff"]
    for name in names:
        await store.create(Key(ROUTES, "n", name), b"")
        await store.create(Key(ROUTES, name, "n"), b"")
    listed = [item.key for item in (await store.list(ROUTES)).items]
    assert listed == sorted(listed)
    assert len(listed) == 2 * len(names)
    assert [item.key for page in await pages(store, 3) for item in page.items] == listed


async def test_what_changes_between_two_pages_does_not_show_in_the_second(store: Store) -> None:
    made = {key: await store.create(key, b"before") for key in keys(8)}
    ordered = sorted(made)
    first = await store.list(ROUTES, limit=3)
    await store.update(ordered[4], b"after")
    await store.update(ordered[4], b"after again")
    await store.delete(ordered[5])
    await store.delete(ordered[6])
    await store.create(ordered[6], b"anew")
    await store.create(Key(ROUTES, "n2", "o99"), b"new")
    rest = await store.list(ROUTES, limit=9, after=first.items[-1].key, revision=first.revision)
    assert list(rest.items) == [made[key] for key in ordered[3:]]
    assert (rest.revision, rest.remaining) == (first.revision, 0)
    now = await store.list(ROUTES, after=first.items[-1].key)
    assert [item.body for item in now.items] == [b"before", b"after again", b"anew", b"before", b"new"]


async def test_a_revision_before_the_log_or_of_the_future_is_refused(store: Store) -> None:
    first = await store.create(Key(ROUTES, "a", "b"), b"0")
    revisions = [(await store.update(first.key, str(turn).encode())).revision for turn in range(50)]
    await store.compact(revisions[9])
    with pytest.raises(Compacted, match="list again"):
        await store.list(ROUTES, revision=first.revision)
    with pytest.raises(Compacted, match="newer than the store"):
        await store.list(ROUTES, revision=revisions[-1] + 1000)
    (kept,) = (await store.list(ROUTES, revision=revisions[9])).items
    assert kept == Stored(first.key, revisions[9], b"9")


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abc"), st.sampled_from("xy")),
        max_size=15,
    ),
    limit=st.integers(0, 3),
)
async def test_what_was_there_at_any_revision_can_be_listed(
    make_store: Maker, steps: list[tuple[str, str, str]], limit: int
) -> None:
    store = await make_store()
    there: dict[Key, Stored] = {}
    history = {await store.revision(): dict(there)}
    for turn, (verb, namespace, name) in enumerate(steps):
        key, body = Key(ROUTES, namespace, name), str(turn).encode()
        if verb == "put":
            there[key] = await (store.update(key, body) if key in there else store.create(key, body))
            history[there[key].revision] = dict(there)
        elif key in there:
            gone = await store.delete(key)
            del there[key]
            history[gone.revision] = dict(there)
    for revision, objects in history.items():
        expected = [objects[key] for key in sorted(objects)]
        found: list[Stored] = []
        page = await store.list(ROUTES, limit=limit, revision=revision)
        found += page.items
        while page.remaining:
            assert len(found) + page.remaining == len(expected)
            page = await store.list(ROUTES, limit=limit, after=found[-1].key, revision=revision)
            found += page.items
        assert found == expected
