"""How many calls may be under way."""

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.worker.webhooks.dispatcher import CallSlots

ME = uuid4()


def slots(**more: float) -> CallSlots:
    return CallSlots(**{"calls": 8, "per_host": 3, "per_user": 100, "per_host_per_s": 1e12} | more)  # type: ignore[arg-type]


def taken(one: CallSlots, lane: str, times: int, user_id: UUID = ME, now: float = 0) -> int:
    return sum(one.take(lane, user_id, now) for _ in range(times))


def test_a_host_gets_its_share_and_all_together_no_more_than_there_are() -> None:
    """Whoever is full is named, so that nothing of theirs is looked up."""
    one = slots()
    assert [taken(one, lane, 5) for lane in "abc"] == [3, 3, 2]
    assert (one.free, sorted(one.full_hosts(0))) == (0, ["a", "b"])
    one.give_back("a", ME)
    assert (taken(one, "a", 2), taken(one, "d", 1)) == (1, 0)


def test_a_user_with_many_hosts_gets_no_more_than_a_share() -> None:
    """The rest is for the others."""
    one = slots(per_user=4)
    assert sum(taken(one, lane, 1) for lane in "abcdefgh") == 4
    assert one.full_users() == [ME]
    assert taken(one, "i", 1, uuid4()) == 1


def test_an_ailing_host_gets_one_place_until_it_is_well() -> None:
    """A call that succeeds gives it back all of them."""
    one = slots()
    one.called("a", well=False)
    assert taken(one, "a", 3) == 1
    assert one.full_hosts(0) == ["a"]
    one.called("a", well=True)
    assert taken(one, "a", 3) == 2


def test_ailing_hosts_together_get_half() -> None:
    """However many hosts hang, the others have places left."""
    one = slots()
    for number in range(20):
        one.called(f"ailing {number}", well=False)
    assert sum(taken(one, f"ailing {number}", 1) for number in range(20)) == 4
    assert taken(one, "well", 5) == 3


def test_a_host_is_not_called_more_often_than_it_may_be() -> None:
    """A burst of as many as it may have at once, then at the pace."""
    one = slots(per_host_per_s=10, per_host=3)
    assert taken(one, "a", 3) == 3
    for _ in range(3):
        one.give_back("a", ME)
    assert taken(one, "a", 3) == 0
    assert one.crowded(0)
    assert taken(one, "a", 3, now=0.1001) == 1
    assert taken(one, "b", 3) == 3
    assert not one.crowded(10)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.booleans()), max_size=60))
def test_no_order_of_calls_breaks_a_bound(steps: list[tuple[str, int, bool]]) -> None:
    """Nor does anything stay taken in the end."""
    one, users = slots(per_user=5, per_host_per_s=1000), [uuid4() for _ in range(3)]
    under_way: list[tuple[str, UUID]] = []
    for now, (lane, user, well) in enumerate(steps):
        if one.take(lane, users[user], now):
            under_way.append((lane, users[user]))
        elif under_way:
            gone = under_way.pop(0)
            one.give_back(*gone)
            one.called(gone[0], well)
        lanes, owners = [lane for lane, _ in under_way], [owner for _, owner in under_way]
        assert len(under_way) == 8 - one.free <= 8
        assert all(lanes.count(each) <= 3 for each in lanes)
        assert all(owners.count(each) <= 5 for each in owners)
    for gone in under_way:
        one.give_back(*gone)
    assert one.free == 8
