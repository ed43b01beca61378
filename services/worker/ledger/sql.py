"""The ledger's SQL.

An attempt starts with its transaction, at `now()`. The statement that records its outcome also logs it.
"""

CLAIM = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state) VALUES ($1, $2, $3, $4, 'done')
    ON CONFLICT DO NOTHING RETURNING now()
"""
CLAIM_MANY = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state)
    SELECT $1, event_id, user_id, event_type, 'done'
    FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS new (event_id, user_id, event_type)
    ON CONFLICT DO NOTHING RETURNING event_id, now() AS at
"""
STORE = """
    INSERT INTO jobs
        (job, event_id, user_id, event_type, state, attempts, payload, headers, task_key, next_attempt_at)
    VALUES ($1, $2, $3, $4, 'scheduled', 0, $5, $6, $7,
        greatest($8::timestamptz, now() + $9 * interval '1 second'))
    ON CONFLICT DO NOTHING RETURNING now() AS at, next_attempt_at
"""
CLOSE = """
    UPDATE jobs SET state = $3, next_attempt_at = NULL, payload = NULL, headers = NULL, updated_at = now()
    WHERE job = $1 AND event_id = $2
"""
LOG_DONE = """
    INSERT INTO job_attempts (job, event_id, started_at, duration_ms, worker, outcome, trace_id)
    VALUES ($1, $2, now(), extract(epoch FROM clock_timestamp() - now()) * 1000, $3, 'done', $4)
"""
LOG_MANY_DONE = """
    INSERT INTO job_attempts (job, event_id, started_at, duration_ms, worker, outcome, trace_id)
    SELECT $1, event_id, now(), extract(epoch FROM clock_timestamp() - now()) * 1000, $3, 'done', trace_id
    FROM unnest($2::uuid[], $4::text[]) AS new (event_id, trace_id)
"""
DUE = """
    job = $1 AND state IN ('retrying', 'scheduled') AND next_attempt_at <= now()
    AND NOT EXISTS (SELECT FROM paused_jobs WHERE paused_jobs.job = $1)
"""
TAKEN = "event_id, attempts, payload, headers, state, event_type, task_key, started_at, now() AS at"
TAKE_DUE = f"""
    SELECT {TAKEN} FROM jobs WHERE {DUE} AND lane IS NULL
    ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608  constants
TAKE_ONE = f"SELECT {TAKEN} FROM jobs WHERE {DUE} AND event_id = $2 FOR UPDATE SKIP LOCKED"  # noqa: S608  constants
# The start of an attempt in an earlier transaction is $4.
LOG = """
    INSERT INTO job_attempts
        (job, event_id, started_at, duration_ms, worker, trace_id, outcome, user_id, error)
    SELECT $1, $2, coalesce($4, now()), extract(epoch FROM clock_timestamp() - coalesce($4, now())) * 1000, $5, $6,
        outcome, user_id, error FROM settled
    ON CONFLICT (job, event_id, started_at) DO UPDATE SET duration_ms = excluded.duration_ms,
        outcome = excluded.outcome, user_id = excluded.user_id, error = excluded.error
"""
SUCCEED = f"""
    WITH settled AS (
        UPDATE jobs SET state = 'done', attempts = $3, next_attempt_at = NULL, last_error = NULL, error_group = NULL,
            payload = NULL, headers = NULL, leased_until = NULL, updated_at = now()
        WHERE job = $1 AND event_id = $2
        RETURNING 'done' AS outcome, NULL::uuid AS user_id, NULL AS error
    )
    {LOG}
"""  # noqa: S608  constants
FAIL = f"""
    WITH settled AS (
        UPDATE jobs SET state = $7, attempts = $3, next_attempt_at = clock_timestamp() + $8 * interval '1 second',
            last_error = $9, error_group = $10, payload = $11, headers = $12, leased_until = NULL, updated_at = now()
        WHERE job = $1 AND event_id = $2
        RETURNING state AS outcome, user_id, last_error AS error
    )
    {LOG}
"""  # noqa: S608  constants
POSTPONE = """
    UPDATE jobs SET state = 'scheduled', attempts = $3, next_attempt_at = $4, payload = $5, headers = $6,
        leased_until = NULL, updated_at = now()
    WHERE job = $1 AND event_id = $2 RETURNING extract(epoch FROM next_attempt_at - now())::float8
"""
RECORD_DEAD_LETTER = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state, attempts, last_error, error_group, payload, headers)
    VALUES ($1, $2, $3, $4, 'dead', 0, $5, $6, $7, $8)
    ON CONFLICT DO NOTHING RETURNING true
"""
TAKE_TURN = f"""
    INSERT INTO job_rates AS rate (job, next_start)
    SELECT $1, now() + $2 * interval '1 second' WHERE EXISTS (SELECT FROM jobs WHERE {DUE} AND lane IS NULL)
    ON CONFLICT (job) DO UPDATE
    SET next_start = greatest(rate.next_start, now() - $3 * interval '1 second') + $2 * interval '1 second'
    WHERE rate.next_start <= now() RETURNING true
"""  # noqa: S608  constants
PURGE = """
    WITH old AS MATERIALIZED (
        SELECT ctid, job, event_id FROM jobs
        WHERE state IN ('done', 'cancelled', 'suppressed') AND updated_at < now() - $1 * interval '1 second'
        ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        DELETE FROM job_attempts WHERE (job, event_id) IN (SELECT job, event_id FROM old)
    )
    DELETE FROM jobs WHERE ctid = ANY(ARRAY(SELECT ctid FROM old))
"""
PURGE_MAILS = """
    DELETE FROM mails WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM mails WHERE updated_at < now() - $1 * interval '1 second' AND NOT EXISTS (
            SELECT FROM jobs WHERE jobs.event_id = mails.event_id AND jobs.state IN ('dead', 'retrying', 'scheduled')
        )
        ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
"""
PROBE = """
    BEGIN;
    INSERT INTO jobs (job, event_id, event_type, state) VALUES ('', gen_random_uuid(), '', 'done');
    ROLLBACK
"""

# For each job that is not paused: whether a row is due, and the seconds until the next one and the next start.
FIND_DUE = """
    SELECT asked.job,
        EXISTS (
            SELECT FROM jobs WHERE jobs.job = asked.job AND state IN ('retrying', 'scheduled') AND lane IS NULL
                AND next_attempt_at <= now()
        ) AS due,
        extract(epoch FROM (
            SELECT next_attempt_at FROM jobs
            WHERE jobs.job = asked.job AND state IN ('retrying', 'scheduled') AND lane IS NULL
                AND next_attempt_at > now()
            ORDER BY next_attempt_at LIMIT 1
        ) - now())::float8 AS next_s,
        extract(epoch FROM (SELECT next_start FROM job_rates WHERE job_rates.job = asked.job) - now())::float8 AS turn_s
    FROM unnest($1::text[]) AS asked (job)
    WHERE NOT EXISTS (SELECT FROM paused_jobs WHERE paused_jobs.job = asked.job)
"""
COUNT_DEAD = """
    SELECT job, coalesce(error_group, 'other') AS error_group, count(*) AS dead FROM jobs
    WHERE state = 'dead' GROUP BY 1, 2
"""
FIND_PAUSED = "SELECT job FROM paused_jobs"
