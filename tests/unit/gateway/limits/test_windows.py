"""Policies, counting in memory, and the reports to other gateways."""

from services.gateway.limits.windows import LocalWindow, Policy

MINUTE = Policy("read", 100, 60)
NOW = 1_000_000_020.0
"""A window begins then."""


def test_a_window_ends_with_the_clock() -> None:
    """Everybody has everything again, at multiples of the window's length."""
    window = LocalWindow(Policy("read", 2, 60))
    assert [window.take("ann", NOW) for _ in range(3)] == [1, 0, -1]
    assert window.is_spent("ann", NOW + 1)
    assert not window.is_spent("bob", NOW + 1)
    assert window.take("ann", NOW + 59.9) == -2
    assert not window.is_spent("ann", NOW + 60)
    assert window.take("ann", NOW + 60) == 1


def test_what_others_have_counted_is_added() -> None:
    """And what came while they were being asked is not lost."""
    window = LocalWindow(MINUTE)
    for _ in range(30):
        window.take("ann", NOW)
    [report] = window.reports(NOW)
    assert report.more == 30
    window.take("ann", NOW)
    window.hear(report, everywhere=90)
    assert window.take("ann", NOW) == 100 - 92
    [again] = window.reports(NOW)
    assert again.more == 2


def test_who_is_found_to_have_used_everything_elsewhere_is_spent() -> None:
    """Though here there was little."""
    window = LocalWindow(MINUTE)
    for _ in range(10):
        window.take("ann", NOW)
    window.hear(window.reports(NOW)[0], everywhere=150)
    assert window.is_spent("ann", NOW)


def test_an_empty_store_makes_no_count_smaller() -> None:
    """When it has forgotten what it was told."""
    window = LocalWindow(MINUTE)
    for _ in range(50):
        window.take("ann", NOW)
    window.hear(window.reports(NOW)[0], everywhere=50)
    for _ in range(5):
        window.take("ann", NOW)
    window.hear(window.reports(NOW)[0], everywhere=5)
    assert window.take("ann", NOW) == 100 - 56


def test_those_who_ask_little_are_not_reported() -> None:
    """Below a tenth of the limit; and nobody is, once their window is over."""
    window = LocalWindow(MINUTE)
    for _ in range(9):
        window.take("ann", NOW)
    assert window.reports(NOW) == []
    window.take("ann", NOW)
    assert len(window.reports(NOW)) == 1
    assert window.reports(NOW + 60) == []


def test_a_policy_says_what_it_is() -> None:
    """In the notation of settings; none where the setting is empty."""
    policy = Policy.parse("login", "10 per 5 minutes")
    assert policy == Policy("login", 10, 300)
    assert policy.headers(-1, 299.5) == (
        (b"ratelimit-policy", b'"login";q=10;w=300'),
        (b"ratelimit", b'"login";r=0;t=1'),
    )
    assert Policy.parse("login", " ") is None
