"""Metrics of the worker's jobs."""

from prometheus_client import Counter, Gauge, Histogram

from shared.observability import tracing

JOBS = Counter(
    "worker_jobs_total",
    "Attempts and arrivals by job and outcome: done, duplicate, retrying, dead, scheduled, suppressed, cancelled.",
    ["job", "outcome"],
)
DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DURATION = Histogram(
    "worker_job_duration_seconds",
    "From receiving an event, or a batch of them, to the commit.",
    ["job"],
    buckets=DURATION_BUCKETS_S,
)
BATCH_SIZE = Histogram(
    "worker_batch_size", "Events in one transaction.", ["job"], buckets=(1, 2, 5, 10, 20, 50, 100, 150, 200)
)
REQUEUED = Counter("worker_requeued_total", "Messages returned because the ledger could not be written.", ["job"])
SWEEPS = Counter("worker_sweeps_total", "Searches of the ledger for due jobs.")
DEAD = Gauge("worker_jobs_dead", "Dead jobs in the ledger; small groups are summed as `other`.", ["job", "error_group"])
RETRYING = Gauge(
    "worker_jobs_retrying", "Jobs in the ledger that wait for another attempt; at most 10,000 are counted.", ["job"]
)
SCHEDULED = Gauge(
    "worker_jobs_scheduled", "Jobs in the ledger that are not due yet; at most 10,000 are counted.", ["job"]
)
OVERDUE = Gauge(
    "worker_job_overdue_seconds", "How long the most overdue job has been due; 0 while the job is paused.", ["job"]
)
QUEUE_MESSAGES = Gauge("worker_queue_messages", "Messages waiting in a queue, according to the broker.", ["queue"])
QUEUE_CONSUMERS = Gauge("worker_queue_consumers", "Consumers of a queue, including those of other workers.", ["queue"])
QUEUE_PAUSED = Gauge("worker_queue_paused", "Whether the job of a queue is paused: 1 or 0.", ["queue"])
HINTS_LOST = Counter("worker_hints_lost_total", "Live hints that were not sent.")
AGE = Histogram(
    "worker_job_age_seconds",
    "From the event to the start of its first attempt.",
    ["job"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400),
)
ATTEMPTS = Histogram(
    "worker_job_attempts", "Attempts until a job was done or dead.", ["job"], buckets=(1, 2, 3, 5, 8, 12, 20)
)
DEAD_LETTERS = Counter(
    "worker_buried_total", "Messages that RabbitMQ gave up, now dead in the ledger.", ["job", "reason"]
)
PURGED = Counter("worker_purged_total", "Rows deleted because of their age: from the ledger, mails and webhooks.")
HELD = Counter("worker_held_total", "Messages that waited because the ledger could not be written.", ["job"])
CONSUMERS_EXPECTED = Gauge("worker_consumers_expected", "Queues that this process should consume.")
CONSUMERS = Gauge("worker_consumers", "Queues that this process consumes.")
IN_HAND = Gauge("worker_in_hand", "Messages of a queue that were received and are not settled yet.", ["queue"])
IN_HAND_LIMIT = Gauge("worker_in_hand_limit", "The maximum number of unsettled messages of a queue.", ["queue"])
LAST_DELIVERY = Gauge(
    "worker_last_delivery_age_seconds", "Time since the last message of a queue, or since the start.", ["queue"]
)
MAILS = Counter(
    "worker_mails_total",
    "Attempts to send a mail, by verdict: sent, not_sent, rejected, uncertain.",
    ["verdict"],
)
SMTP_CONNECTIONS = Counter("worker_smtp_connections_total", "Connections opened to the mail server.")
IMPORTS = Counter("worker_imports_total", "Ended imports: completed, failed, cancelled.", ["state"])
IMPORT_ROWS = Counter("worker_import_rows_total", "Rows of imports: created, repeated, failed.", ["outcome"])
IMPORT_INTERRUPTIONS = Counter("worker_import_interruptions_total", "Interruptions of imports.")
WEBHOOK_CALLS = Counter(
    "worker_webhook_calls_total",
    "Webhook calls by outcome of the delivery: delivered, retrying, failed, interrupted.",
    ["verdict"],
)
WEBHOOK_CALL_DURATION = Histogram(
    "worker_webhook_call_duration_seconds",
    "Duration of a call, from resolving the name to the end of the response.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
WEBHOOK_CALLS_UNDER_WAY = Gauge("worker_webhook_calls_under_way", "Webhook deliveries in flight in this process.")
WEBHOOKS_TURNED_OFF = Counter(
    "worker_webhooks_turned_off_total", "Disabled webhooks, by reason: failing, gone.", ["reason"]
)


ENDS = ("done", "dead")


def count_attempt(job: str, outcome: str, seconds: float, attempt: int = 1) -> None:
    """Count an attempt at a job; its number counts from 1."""
    JOBS.labels(job, outcome).inc()
    DURATION.labels(job).observe(seconds, tracing.exemplar())
    if outcome in ENDS:
        ATTEMPTS.labels(job).observe(attempt)
