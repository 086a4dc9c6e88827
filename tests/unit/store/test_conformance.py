"""What every store does: the rules of `argosy.store.base`, on each of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.store.base import (
    AlreadyExists,
    Compacted,
    Conflict,
    Event,
    EventType,
    Key,
    NotFound,
    Store,
    StoreError,
    Unavailable,
    Unchanged,
)

ROUTES, SERVICES = "networking.istio.io/virtualservices", "/services"
REVIEWS = Key(ROUTES, "shop", "reviews")
Maker = Callable[..., Awaitable[Store]]


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    """The next `count` events, within a bound."""
    found: list[Event] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found.append(await anext(events))
    return found


@contextlib.asynccontextmanager
async def watching(
    store: Store, after: int, resource: str | None = None
) -> AsyncIterator[AsyncIterator[Event]]:
    events = store.watch(after, resource)
    try:
        yield events
    finally:
        await events.aclose()  # type: ignore[attr-defined]  # an async generator in both stores


async def test_what_was_created_is_there(store: Store) -> None:
    made = await store.create(REVIEWS, b"{}")
    assert made.key == REVIEWS
    assert made.body == b"{}"
    assert await store.get(REVIEWS) == made


async def test_what_was_never_created_is_not_there(store: Store) -> None:
    assert await store.get(REVIEWS) is None
    with pytest.raises(NotFound, match=r"virtualservices shop/reviews does not exist"):
        await store.update(REVIEWS, b"{}")
    with pytest.raises(NotFound):
        await store.delete(REVIEWS)


async def test_a_name_is_taken_until_it_is_deleted(store: Store) -> None:
    first = await store.create(REVIEWS, b"1")
    with pytest.raises(AlreadyExists, match="virtualservices shop/reviews"):
        await store.create(REVIEWS, b"2")
    assert await store.get(REVIEWS) == first
    await store.delete(REVIEWS)
    assert (await store.create(REVIEWS, b"3")).revision > first.revision + 1


async def test_a_create_may_depend_on_another_object(store: Store) -> None:
    shop = Key("/namespaces", "", "shop")
    with pytest.raises(Conflict, match="/namespaces shop"):
        await store.create(REVIEWS, b"1", Unchanged(shop, 1))
    made = await store.create(shop, b"shop")
    await store.create(REVIEWS, b"1", Unchanged(shop, made.revision))
    with pytest.raises(AlreadyExists, match="virtualservices shop/reviews"):
        await store.create(REVIEWS, b"2", Unchanged(shop, made.revision))
    changed = await store.update(shop, b"other")
    for name in ("reviews", "ratings"):  # what the condition says comes first
        with pytest.raises(Conflict, match=f"/namespaces shop is at revision {changed.revision}"):
            await store.create(Key(ROUTES, "shop", name), b"3", Unchanged(shop, made.revision))
    await store.delete(shop)
    with pytest.raises(Conflict):
        await store.create(Key(ROUTES, "shop", "ratings"), b"4", Unchanged(shop, changed.revision))
    assert [item.body for item in (await store.list(ROUTES)).items] == [b"1"]


async def test_each_write_takes_a_higher_revision_of_the_whole_store(store: Store) -> None:
    first = await store.create(REVIEWS, b"1")
    second = await store.create(Key(SERVICES, "shop", "reviews"), b"2")
    third = await store.update(REVIEWS, b"3")
    fourth = await store.delete(REVIEWS)
    revisions = [first.revision, second.revision, third.revision, fourth.revision]
    assert revisions == sorted(set(revisions))
    assert fourth.body == b"3"
    assert (await store.list()).revision == await store.revision() == fourth.revision


async def test_a_refused_write_takes_no_revision(store: Store) -> None:
    made = await store.create(REVIEWS, b"1")
    for attempt in (
        store.create(REVIEWS, b"2"),
        store.update(REVIEWS, b"2", expected=made.revision + 1),
        store.delete(Key(ROUTES, "shop", "other")),
    ):
        with pytest.raises(StoreError):
            await attempt
    assert (await store.list()).revision == made.revision


async def test_an_update_with_the_revision_read_succeeds_and_with_another_conflicts(store: Store) -> None:
    made = await store.create(REVIEWS, b"1")
    changed = await store.update(REVIEWS, b"2", expected=made.revision)
    assert changed.revision > made.revision
    with pytest.raises(Conflict, match=f"is at revision {changed.revision}, not {made.revision}"):
        await store.update(REVIEWS, b"3", expected=made.revision)
    with pytest.raises(Conflict):
        await store.delete(REVIEWS, expected=made.revision)
    assert await store.get(REVIEWS) == changed
    last = await store.update(REVIEWS, b"4")
    assert last.body == b"4"
    assert (await store.delete(REVIEWS, expected=last.revision)).body == b"4"


async def test_of_many_that_compare_and_swap_at_once_one_wins(store: Store) -> None:
    made = await store.create(REVIEWS, b"0")
    outcomes = await asyncio.gather(
        *(store.update(REVIEWS, str(i).encode(), expected=made.revision) for i in range(40)),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(won) == 1
    assert all(isinstance(outcome, Conflict) for outcome in outcomes if outcome is not won[0])
    assert await store.get(REVIEWS) == won[0]


async def test_a_counter_incremented_by_many_loses_no_increment(store: Store) -> None:
    await store.create(REVIEWS, b"0")

    async def increment() -> None:
        while True:
            now = await store.get(REVIEWS)
            assert now is not None
            with contextlib.suppress(Conflict):
                await store.update(REVIEWS, str(int(now.body) + 1).encode(), expected=now.revision)
                return

    await asyncio.gather(*(increment() for _ in range(25)))
    final = await store.get(REVIEWS)
    assert final is not None
    assert final.body == b"25"


@pytest.mark.parametrize(
    ("resource", "namespace", "names"),
    [
        (ROUTES, None, ["a/x", "a/y", "b/x"]),
        (ROUTES, "a", ["a/x", "a/y"]),
        (ROUTES, "c", []),
        (None, "a", ["a/x", "a/x", "a/y"]),
        (None, None, ["/a", "a/x", "a/x", "a/y", "b/x"]),
        (None, "", ["/a"]),
        ("/nothing", None, []),
    ],
)
async def test_a_list_is_what_was_asked_for_sorted_by_key(
    store: Store, resource: str | None, namespace: str | None, names: list[str]
) -> None:
    keys = [Key(ROUTES, "b", "x"), Key(ROUTES, "a", "y"), Key(ROUTES, "a", "x"), Key(SERVICES, "a", "x")]
    for key in [*keys, Key("/namespaces", "", "a")]:
        await store.create(key, key.name.encode())
    listing = await store.list(resource, namespace)
    assert [f"{item.key.namespace}/{item.key.name}" for item in listing.items] == names
    assert [item.key for item in listing.items] == sorted(item.key for item in listing.items)


async def test_a_watch_from_a_list_misses_nothing_and_repeats_nothing(store: Store) -> None:
    before = await store.create(REVIEWS, b"before")
    listing = await store.list()
    made = await store.create(Key(SERVICES, "shop", "reviews"), b"1")
    async with watching(store, listing.revision) as events:
        changed = await store.update(REVIEWS, b"2")
        gone = await store.delete(made.key)
        assert await take(events, 3) == [
            Event(EventType.ADDED, made),
            Event(EventType.MODIFIED, changed, b"before", before.revision),
            Event(EventType.DELETED, gone, made.body, made.revision),
        ]


async def test_a_watch_of_one_resource_sees_that_one(store: Store) -> None:
    async with watching(store, await store.revision(), SERVICES) as events:
        await store.create(REVIEWS, b"1")
        made = await store.create(Key(SERVICES, "shop", "reviews"), b"2")
        assert await take(events, 1) == [Event(EventType.ADDED, made)]


async def test_every_watcher_sees_each_change_once_in_order_under_concurrent_writers(store: Store) -> None:
    """Eight writers, watchers that begin at different moments and read at different speeds."""
    writers, each = 8, 50
    total = writers * each

    async def write(writer: int) -> list[int]:
        return [
            (await store.create(Key(ROUTES, f"n{writer}", f"o{turn}"), b"x" * turn)).revision
            for turn in range(each)
        ]

    async def watch(seed: int) -> list[int]:
        pace = random.Random(seed)
        listing = await store.list()
        seen = sorted(item.revision for item in listing.items)
        async with watching(store, listing.revision) as events:
            while len(seen) < total:
                seen += [event.stored.revision for event in await take(events, 1)]
                if pace.random() < 0.05:
                    await asyncio.sleep(pace.random() / 100)
        return seen

    results = await asyncio.gather(*(write(i) for i in range(writers)), *(watch(i) for i in range(6)))
    written = sorted(revision for one in results[:writers] for revision in one)
    for seen in results[writers:]:
        assert seen == written


async def test_a_watcher_that_fell_behind_the_memory_of_the_others_still_sees_everything(
    store: Store,
) -> None:
    """More events than the shared tail holds, while one watcher sleeps."""
    now = await store.revision()
    async with watching(store, now) as slow, watching(store, now) as quick:
        first = await store.create(REVIEWS, b"0")
        assert await take(slow, 1) == await take(quick, 1) == [Event(EventType.ADDED, first)]
        written: list[int] = []
        for batch in range(15):
            made = (store.create(Key(ROUTES, f"b{batch}", f"o{i}"), b"") for i in range(200))
            written += [one.revision for one in await asyncio.gather(*made)]
        for events in (quick, slow):
            assert [e.stored.revision for e in await take(events, 3000)] == sorted(written)


async def test_a_watch_before_the_log_begins_is_refused(store: Store) -> None:
    first = await store.create(REVIEWS, b"0")
    revisions = [(await store.update(REVIEWS, str(turn).encode())).revision for turn in range(40)]
    await store.compact(revisions[19])
    async with watching(store, first.revision) as events:
        with pytest.raises(Compacted, match="list again"):
            await anext(events)
    async with watching(store, revisions[19]) as events:
        assert [e.stored.revision for e in await take(events, 20)] == revisions[20:]
    await store.compact(revisions[10])
    await store.compact(revisions[-1])
    found = await store.get(REVIEWS)
    assert found is not None
    assert found.body == b"39"


async def test_a_watcher_that_the_log_leaves_behind_is_told(store: Store) -> None:
    await store.create(REVIEWS, b"0")
    async with (
        watching(store, await store.revision()) as slow,
        watching(store, await store.revision()) as quick,
    ):
        made = await store.update(REVIEWS, b"1")
        assert await take(slow, 1) == await take(quick, 1)
        for turn in range(30):
            await asyncio.gather(*(store.create(Key(ROUTES, f"b{turn}", f"o{i}"), b"") for i in range(100)))
        last = await store.update(REVIEWS, b"2")
        seen = await take(quick, 3001)
        assert seen[-1] == Event(EventType.MODIFIED, last, b"1", made.revision)
        await store.compact(last.revision)
        with pytest.raises(Compacted):
            await take(slow, 3001)


async def test_a_watch_from_a_revision_of_the_future_is_refused(store: Store) -> None:
    async with watching(store, await store.revision() + 1000) as events:
        with pytest.raises(Compacted, match="newer than the store"):
            await anext(events)


async def test_a_cancelled_watch_leaves_nothing(store: Store) -> None:
    before, now = len(asyncio.all_tasks()), await store.revision()

    async def watch() -> None:
        async for _ in store.watch(now):
            pass

    tasks = [asyncio.create_task(watch()) for _ in range(5)]
    await store.create(REVIEWS, b"1")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.01)
    tail = vars(getattr(store, "inner", store))["_tail"]
    assert tail is None or (tail.watchers == 0 and not tail._waiting)


async def test_a_closed_store_ends_its_watches_and_refuses(store: Store) -> None:
    async with watching(store, await store.revision()) as events:
        await store.create(REVIEWS, b"1")
        await take(events, 1)
        pending = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(Unavailable, match="closed"):
            async with asyncio.timeout(10):
                await pending
    for attempt in (store.get(REVIEWS), store.list(), store.create(REVIEWS, b""), store.delete(REVIEWS)):
        with pytest.raises(Unavailable, match="closed"):
            await attempt
    await store.close()


Step = tuple[str, str, str, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "delete"]),
        st.sampled_from([ROUTES, "/secrets"]),
        st.sampled_from(["x", "y"]),
        st.booleans(),
    ),
    max_size=25,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
async def test_any_sequence_of_writes_agrees_with_a_plain_dictionary(
    make_store: Maker, steps: list[Step]
) -> None:
    store = await make_store()
    plain: dict[Key, tuple[int, bytes]] = {}
    begin = revision = await store.revision()
    written = 0
    for turn, (verb, resource, name, stale) in enumerate(steps):
        key, body = Key(resource, "shop", name), str(turn).encode()
        there = plain.get(key)
        expected = (there[0] - 1 if stale else there[0]) if there else None
        allowed = there is None if verb == "create" else there is not None and not stale
        try:
            if verb == "create":
                done = await store.create(key, body)
            elif verb == "update":
                done = await store.update(key, body, expected)
            else:
                done = await store.delete(key, expected)
        except StoreError:
            assert not allowed
            continue
        assert allowed
        assert done.revision > revision
        revision, written = done.revision, written + 1
        if verb == "delete":
            del plain[key]
        else:
            plain[key] = (revision, body)
    listing = await store.list()
    assert {item.key: (item.revision, item.body) for item in listing.items} == plain
    assert listing.revision >= revision
    replayed: dict[Key, tuple[int, bytes]] = {}
    async with watching(store, begin) as events:
        for event in await take(events, written):
            if event.type is EventType.DELETED:
                del replayed[event.stored.key]
            else:
                replayed[event.stored.key] = (event.stored.revision, event.stored.body)
    assert replayed == plain
