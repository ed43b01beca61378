from uuid import uuid4

from tests.support.worker.world import World

LOSE = """
    INSERT INTO jobs (job, event_id, event_type, state, attempts, next_attempt_at)
    VALUES ('notifications', $1, 'order.created', 'retrying', 1, now() - interval '1 hour')
"""


async def test_a_row_without_its_message_is_dead_and_in_nobodys_way(alone: World) -> None:
    """What cannot be tried because its message is gone is dead: due before all others, it must not hold them up."""
    lost = uuid4()
    await alone.fetch(LOSE, lost)
    await alone.until(lost, notifications="dead")
    assert "the ledger has no message" in (await alone.job("notifications", lost))["last_error"]
