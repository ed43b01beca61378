from services.orders.models import Status, is_change
from shared.clock import now
from tools.cli.seed import DAYS, PEOPLE, past_orders


def test_some_hundred_orders_of_the_last_30_days_whose_changes_are_legal_and_in_order() -> None:
    """Demo orders lie within the last 30 days, and each goes through legal states, forward in time."""
    until = now()
    every = [order for person in PEOPLE for order in past_orders(person, until)]
    assert len(every) >= 300
    for order in every:
        assert 0 <= (until - order.placed_at).days <= DAYS
        status, moment = Status.CREATED, order.placed_at
        for target, at in order.changes:
            assert is_change(status, target)
            assert moment <= at <= until
            status, moment = target, at


def test_the_demo_data_has_its_administrator_and_its_customer() -> None:
    """The two accounts that `dashboard up` prints are among them."""
    roles = {person.email: person.role for person in PEOPLE}
    assert roles["admin@example.com"] == "admin"
    assert roles["demo@example.com"] == "user"
