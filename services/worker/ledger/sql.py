"""The ledger's SQL."""

CLAIM = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state) VALUES ($1, $2, $3, $4, 'done')
    ON CONFLICT DO NOTHING RETURNING now()
"""
CLAIM_MANY = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state)
    SELECT $1, event_id, user_id, event_type, 'done'
    FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS new (event_id, user_id, event_type)
    ON CONFLICT DO NOTHING RETURNING event_id
"""
TAKE_DUE = """
    SELECT event_id, attempts, payload, headers, now() AS at FROM jobs
    WHERE job = $1 AND state = 'retrying' AND lane IS NULL AND next_attempt_at <= now()
    ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
TAKE_ONE = """
    SELECT event_id, attempts, payload, headers, now() AS at FROM jobs
    WHERE job = $1 AND event_id = $2 AND state = 'retrying' AND next_attempt_at <= now()
    FOR UPDATE SKIP LOCKED
"""
SUCCEED = """
    UPDATE jobs SET state = 'done', attempts = $3, next_attempt_at = NULL, last_error = NULL, error_group = NULL,
        payload = NULL, headers = NULL, updated_at = now()
    WHERE job = $1 AND event_id = $2
"""
FAIL = """
    UPDATE jobs SET state = $3, attempts = $4, next_attempt_at = clock_timestamp() + $5 * interval '1 second',
        last_error = $6, error_group = $7, payload = $8, headers = $9, updated_at = now()
    WHERE job = $1 AND event_id = $2
"""
RECORD_DEAD_LETTER = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state, attempts, last_error, error_group, payload, headers)
    VALUES ($1, $2, $3, $4, 'dead', 0, $5, $6, $7, $8)
    ON CONFLICT DO NOTHING RETURNING true
"""
PURGE = """
    DELETE FROM jobs WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM jobs WHERE state = 'done' AND updated_at < now() - $1 * interval '1 second'
        ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
"""
PURGE_MAILS = """
    DELETE FROM mails WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM mails WHERE updated_at < now() - $1 * interval '1 second' AND NOT EXISTS (
            SELECT FROM jobs WHERE job = 'email' AND jobs.event_id = mails.event_id AND jobs.state <> 'done'
        )
        ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
"""
PROBE = """
    BEGIN;
    INSERT INTO jobs (job, event_id, event_type, state) VALUES ('', gen_random_uuid(), '', 'done');
    ROLLBACK
"""

FIND_DUE = "SELECT DISTINCT job FROM jobs WHERE state = 'retrying' AND lane IS NULL AND next_attempt_at <= now()"
COUNT_DEAD = """
    SELECT job, coalesce(error_group, 'other') AS error_group, count(*) AS dead FROM jobs
    WHERE state = 'dead' GROUP BY 1, 2
"""
