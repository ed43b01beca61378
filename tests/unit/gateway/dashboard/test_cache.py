"""The cache of panels, with a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.dashboard.cache import ENTRY_OVERHEAD_BYTES, STAMPS, PanelCache
from tests.support.gateway.declared import PANELS

ADA, BOB = "ada", "bob"
DATA = b"[1]"
NAMES = [panel.name for panel in PANELS]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> PanelCache:
    cache = PanelCache(PANELS, 100_000, 30, clock)
    cache.enable()
    return cache


def _keep(cache: PanelCache, panel: str, user_id: str, data: bytes = DATA) -> int:
    return cache.put(cache.begin(user_id), {panel: data})


def _kept(cache: PanelCache, user_id: str) -> set[str]:
    return {panel for panel in NAMES if cache.get(panel, user_id)}


def test_a_hit_says_how_long_ago_the_question_was_asked(cache: PanelCache, clock: Clock) -> None:
    """The age counts from the question, not from its answer: the data may be as old."""
    fill = cache.begin(ADA)
    clock.now += 0.5
    assert cache.put(fill, {"orders": DATA})
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
    assert (cache.put(before, {"orders": DATA}), cache.put(after, {"orders": DATA})) == (0, 1)


def test_a_change_of_another_panel_or_user_refuses_no_fill(cache: PanelCache) -> None:
    """Only what has changed is refused."""
    fill = cache.begin(ADA)
    cache.drop(ADA, ["user"])
    cache.drop(BOB, ["analytics"])
    assert cache.put(fill, {"orders": DATA})


def test_without_the_feed_nothing_is_kept(cache: PanelCache) -> None:
    """When the feed is lost everything goes, and nothing is taken until it is back."""
    _keep(cache, "orders", ADA)
    cache.disable()
    assert (cache.enabled, cache.get("orders", ADA)) == (False, None)
    assert not _keep(cache, "orders", ADA)
    cache.enable()
    assert _keep(cache, "orders", ADA)


def test_what_was_asked_before_the_feed_came_back_is_not_kept(cache: PanelCache, clock: Clock) -> None:
    """It may have changed while nobody told."""
    fill = cache.begin(ADA)
    clock.now += 1
    cache.disable()
    cache.enable()
    assert not cache.put(fill, {"orders": DATA})


def test_an_older_answer_does_not_take_the_place_of_a_newer(cache: PanelCache, clock: Clock) -> None:
    """Of two answers the one asked for later stays, whichever comes last."""
    older = cache.begin(ADA)
    clock.now += 1
    newer = cache.begin(ADA)
    cache.put(newer, {"orders": b"[2]"})
    assert not cache.put(older, {"orders": DATA})
    assert cache.get("orders", ADA) == (b"[2]", 0)


def test_what_was_used_longest_ago_goes_first(clock: Clock) -> None:
    """A hit counts as use."""
    cache = PanelCache(PANELS, 3 * (ENTRY_OVERHEAD_BYTES + 3), 30, clock)
    cache.enable()
    for user_id in ("1", "2", "3"):
        _keep(cache, "orders", user_id)
    cache.get("orders", "1")
    _keep(cache, "orders", "4")
    assert [bool(cache.get("orders", user_id)) for user_id in ("1", "2", "3", "4")] == [True, False, True, True]


def test_what_is_larger_than_the_cache_is_not_kept(clock: Clock) -> None:
    """Nor does it push out anything."""
    cache = PanelCache(PANELS, 2000, 30, clock)
    cache.enable()
    _keep(cache, "orders", ADA)
    assert not _keep(cache, "user", ADA, b'"' + b"x" * 3000 + b'"')
    assert _kept(cache, ADA) == {"orders"}


def test_all_panels_at_once(cache: PanelCache, clock: Clock) -> None:
    """Each with its own age, in the order asked; nothing where one of them is unknown, or too old."""
    assert cache.get_all(["user"], ADA) is None
    _keep(cache, "orders", ADA, b"[2]")
    clock.now += 1
    _keep(cache, "user", ADA, b"{}")
    assert cache.get_all(["user", "orders"], ADA) == [(b"{}", 0), (b"[2]", 1000)]
    assert cache.get_all(["orders"], ADA) == [(b"[2]", 1000)]
    assert cache.get_all(["user", "orders", "analytics"], ADA) is None
    assert cache.get_all(["user"], BOB) is None
    clock.now += 29.5
    assert cache.get_all(["user", "orders"], ADA) is None
    assert cache.get_all(["user"], ADA) == [(b"{}", 29_500)]
    cache.drop(ADA, ["user"])
    assert cache.get_all(["user"], ADA) is None


def test_a_hit_of_all_panels_counts_as_use(clock: Clock) -> None:
    """Those of others go first."""
    cache = PanelCache(PANELS, 2 * (ENTRY_OVERHEAD_BYTES + 3), 30, clock)
    cache.enable()
    for user_id in (ADA, BOB):
        _keep(cache, "orders", user_id)
    cache.get_all(["orders"], ADA)
    _keep(cache, "orders", "another")
    assert (_kept(cache, ADA), _kept(cache, BOB)) == ({"orders"}, set())


def test_of_several_panels_each_is_kept_or_refused_by_itself(cache: PanelCache) -> None:
    """It is said how many were kept."""
    fill = cache.begin(ADA)
    cache.drop(ADA, ["orders"])
    large = b"[" + b" " * 100_000 + b"]"
    assert cache.put(fill, {"user": b"{}", "orders": DATA, "notifications": large, "analytics": b"{}"}) == 2
    assert _kept(cache, ADA) == {"user", "analytics"}
    assert len(cache) == 2


def test_nothing_kept_leaves_nothing_behind(cache: PanelCache) -> None:
    """Of a user of whom nothing was known before."""
    fill = cache.begin(ADA)
    cache.drop(ADA)
    assert cache.put(fill, dict.fromkeys(NAMES, DATA)) == 0
    assert (len(cache), cache.bytes) == (0, 0)
    assert cache.get_all([], ADA) is None


_panels = st.sampled_from(NAMES)
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
    cache = PanelCache(PANELS, 6000, 30, clock)
    cache.enable()
    changed = dict.fromkeys([(panel, str(user)) for panel in NAMES for user in range(8)], 0)
    under_way = []
    for step, (kind, panel, user_id, number) in enumerate(operations, 1):
        data = b"%d" % step + b" " * number
        match kind:
            case "put":
                cache.put(cache.begin(user_id), {panel: data})
            case "begin":
                under_way.append((cache.begin(user_id), {panel: data}))
            case "land" if under_way:
                cache.put(*under_way.pop())
            case "drop":
                cache.drop(user_id, [panel])
                changed[panel, user_id] = step
            case "drop all":
                cache.drop(user_id)
                changed |= dict.fromkeys([key for key in changed if key[1] == user_id], step)
            case "flap":
                cache.disable()
                cache.enable()
                changed = dict.fromkeys(changed, step)
            case "wait":
                clock.now += number
            case "get" if found := cache.get(panel, user_id):
                data, age_ms = found
                assert int(data) > changed[panel, user_id]
                assert age_ms <= 30_000
        assert 0 <= cache.bytes <= 6000
        assert cache.bytes >= len(cache) * ENTRY_OVERHEAD_BYTES


def test_bookkeeping_does_not_grow(cache: PanelCache) -> None:
    """Neither changes of users nobody reads nor reads that never end leave anything behind."""
    for number in range(3 * STAMPS):
        cache.begin(str(number))
        cache.drop(str(number))
    assert (len(cache), cache.bytes, len(cache._stamps)) == (0, 0, STAMPS)
