"""The cache of panels, with a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from services.gateway.dashboard.cache import ENTRY_OVERHEAD_BYTES, STAMPS, PanelCache

ADA, BOB = "ada", "bob"
DATA = Raw(b"[1]")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> PanelCache:
    cache = PanelCache(100_000, 30, clock)
    cache.trust()
    return cache


def _keep(cache: PanelCache, panel: str, user_id: str, data: Raw = DATA) -> bool:
    return cache.put(cache.begin(user_id), panel, data)


def _kept(cache: PanelCache, user_id: str) -> set[str]:
    return {panel for panel in ("user", "orders", "notifications", "analytics") if cache.get(panel, user_id)}


def test_a_hit_says_how_long_ago_the_question_was_asked(cache: PanelCache, clock: Clock) -> None:
    """The age counts from the question, not from its answer: the data may be as old."""
    fill = cache.begin(ADA)
    clock.now += 0.5
    assert cache.put(fill, "orders", DATA)
    clock.now += 1
    assert cache.get("orders", ADA) == (DATA, 1500)


def test_nothing_is_served_beyond_the_maximum_age(cache: PanelCache, clock: Clock) -> None:
    """An entry ends with the maximum age, and its bytes are given back."""
    _keep(cache, "orders", ADA)
    clock.now += 30
    assert cache.get("orders", ADA)
    clock.now += 0.001
    assert cache.get("orders", ADA) is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_a_change_drops_exactly_the_panels_it_names(cache: PanelCache) -> None:
    """Other panels of the user, and the same panel of others, stay."""
    for user_id in (ADA, BOB):
        _keep(cache, "orders", user_id)
        _keep(cache, "user", user_id)
    cache.drop(ADA, ["orders"])
    assert (_kept(cache, ADA), _kept(cache, BOB)) == ({"user"}, {"user", "orders"})
    cache.drop(ADA)
    assert (_kept(cache, ADA), _kept(cache, BOB)) == (set(), {"user", "orders"})


def test_a_fill_that_began_before_a_change_is_not_kept(cache: PanelCache) -> None:
    """What was asked before a change may lack it; what is asked after it is kept."""
    before = cache.begin(ADA)
    cache.drop(ADA, ["orders"])
    after = cache.begin(ADA)
    assert (cache.put(before, "orders", DATA), cache.put(after, "orders", DATA)) == (False, True)


def test_a_change_of_another_panel_or_user_refuses_no_fill(cache: PanelCache) -> None:
    """Only what has changed is refused."""
    fill = cache.begin(ADA)
    cache.drop(ADA, ["user"])
    cache.drop(BOB, ["analytics"])
    assert cache.put(fill, "orders", DATA)


def test_without_the_feed_nothing_is_kept(cache: PanelCache) -> None:
    """When the feed is lost everything goes, and nothing is taken until it is back."""
    _keep(cache, "orders", ADA)
    cache.distrust()
    assert (cache.trusted, cache.get("orders", ADA)) == (False, None)
    assert not _keep(cache, "orders", ADA)
    cache.trust()
    assert _keep(cache, "orders", ADA)


def test_what_was_asked_before_the_feed_came_back_is_not_kept(cache: PanelCache, clock: Clock) -> None:
    """It may have changed while nobody told."""
    fill = cache.begin(ADA)
    clock.now += 1
    cache.distrust()
    cache.trust()
    assert not cache.put(fill, "orders", DATA)


def test_an_older_answer_does_not_take_the_place_of_a_newer(cache: PanelCache, clock: Clock) -> None:
    """Of two answers the one asked for later stays, whichever comes last."""
    older = cache.begin(ADA)
    clock.now += 1
    newer = cache.begin(ADA)
    cache.put(newer, "orders", Raw(b"[2]"))
    assert not cache.put(older, "orders", DATA)
    assert cache.get("orders", ADA) == (Raw(b"[2]"), 0)


def test_what_was_used_longest_ago_goes_first(clock: Clock) -> None:
    """A hit counts as use."""
    cache = PanelCache(3 * (ENTRY_OVERHEAD_BYTES + 3), 30, clock)
    cache.trust()
    for user_id in ("1", "2", "3"):
        _keep(cache, "orders", user_id)
    cache.get("orders", "1")
    _keep(cache, "orders", "4")
    assert [bool(cache.get("orders", user_id)) for user_id in ("1", "2", "3", "4")] == [True, False, True, True]


def test_what_is_larger_than_the_cache_is_not_kept(clock: Clock) -> None:
    """Nor does it push out anything."""
    cache = PanelCache(2000, 30, clock)
    cache.trust()
    _keep(cache, "orders", ADA)
    assert not _keep(cache, "user", ADA, Raw(b'"' + b"x" * 3000 + b'"'))
    assert _kept(cache, ADA) == {"orders"}


_panels = st.sampled_from(["user", "orders", "notifications", "analytics"])
_users = st.sampled_from([str(number) for number in range(8)])
_operations = st.one_of(
    st.tuples(st.just("put"), _panels, _users, st.integers(2, 2500)),
    st.tuples(st.just("begin"), _panels, _users, st.integers(2, 2500)),
    st.tuples(st.sampled_from(["get", "drop", "land"]), _panels, _users, st.just(0)),
    st.tuples(st.sampled_from(["drop all", "flap", "wait"]), _panels, _users, st.integers(0, 40)),
)


@given(st.lists(_operations, max_size=60))
def test_bounds_and_freshness_hold_whatever_happens(operations: list[tuple[str, str, str, int]]) -> None:
    """Never more bytes than allowed, never a panel from before its last change, from before the feed, or too old."""
    clock = Clock()
    cache = PanelCache(6000, 30, clock)
    cache.trust()
    changed = dict.fromkeys(
        [(p, str(u)) for p in ("user", "orders", "notifications", "analytics") for u in range(8)], 0
    )
    under_way = []
    for step, (kind, panel, user_id, number) in enumerate(operations, 1):
        data = Raw(b"%d" % step + b" " * number)
        match kind:
            case "put":
                cache.put(cache.begin(user_id), panel, data)
            case "begin":
                under_way.append((cache.begin(user_id), panel, data))
            case "land" if under_way:
                cache.put(*under_way.pop())
            case "drop":
                cache.drop(user_id, [panel])
                changed[panel, user_id] = step
            case "drop all":
                cache.drop(user_id)
                changed |= dict.fromkeys([key for key in changed if key[1] == user_id], step)
            case "flap":
                cache.distrust()
                cache.trust()
                changed = dict.fromkeys(changed, step)
            case "wait":
                clock.now += number
            case "get" if found := cache.get(panel, user_id):
                assert int(bytes(found.data)) > changed[panel, user_id]
                assert found.age_ms <= 30_000
        assert 0 <= cache.bytes <= 6000
        assert cache.bytes >= len(cache) * ENTRY_OVERHEAD_BYTES


def test_bookkeeping_does_not_grow(cache: PanelCache) -> None:
    """Neither changes of users nobody reads nor reads that never end leave anything behind."""
    for number in range(3 * STAMPS):
        cache.begin(str(number))
        cache.drop(str(number))
    assert (len(cache), cache.bytes, len(cache._stamps)) == (0, 0, STAMPS)
