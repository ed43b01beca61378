"""Another's profile, directly at the service."""

from shared.clock import now
from shared.db import Database
from shared.ids import new_id
from tests.support.statements import statements
from tests.support.users import Gateway


async def test_anothers_profile_is_hidden_without_a_look(gateway: Gateway, db: Database) -> None:
    """404 as for an unknown id, and without a statement for either: there is nothing to be told apart by time."""
    person, other = await gateway.register(), await gateway.register()
    for user_id in (other.id, new_id(now())):
        async with statements(db) as seen:
            answer = await gateway.call(person, "GET", f"/v1/users/{user_id}")
        assert (answer.status_code, answer.json()["code"], seen) == (404, "user_not_found", [])
