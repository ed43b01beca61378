from tools.devstack.service import FIRST, LONGEST, STABLE, Backoff


def test_waits_double_up_to_a_limit() -> None:
    """A process that keeps exiting is restarted after longer and longer pauses, without end."""
    backoff = Backoff()
    delays = [backoff.after(lifetime=0) for _ in range(20)]
    assert delays[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert delays[-1] == LONGEST


def test_a_long_life_is_forgiven() -> None:
    """A process that ran for a while is restarted at once."""
    backoff = Backoff()
    for _ in range(5):
        backoff.after(lifetime=0)
    assert backoff.after(lifetime=STABLE) == FIRST
