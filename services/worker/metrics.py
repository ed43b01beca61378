"""What the worker counts of its jobs."""

from prometheus_client import Counter, Gauge, Histogram

JOBS = Counter("worker_jobs_total", "Attempts by job and outcome: done, duplicate, retrying, dead.", ["job", "outcome"])
DURATION = Histogram(
    "worker_job_duration_seconds",
    "From taking an event, or a batch of them, to the commit.",
    ["job"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
BATCH_SIZE = Histogram(
    "worker_batch_size", "Events in one transaction.", ["job"], buckets=(1, 2, 5, 10, 20, 50, 100, 150, 200)
)
REQUEUED = Counter("worker_requeued_total", "Messages given back because the ledger could not be written.", ["job"])
SWEEPS = Counter("worker_sweeps_total", "Searches of the ledger for what is due.")
DEAD = Gauge("worker_jobs_dead", "Dead jobs in the ledger; small groups together as `other`.", ["job", "error_group"])
RETRYING = Gauge("worker_jobs_retrying", "Jobs in the ledger that wait for another attempt.", ["job"])
OVERDUE = Gauge("worker_job_overdue_seconds", "How long the job that has been due longest waits already.", ["job"])
QUEUE_MESSAGES = Gauge("worker_queue_messages", "Messages that wait in a queue, as the broker says.", ["queue"])
QUEUE_CONSUMERS = Gauge("worker_queue_consumers", "Consumers of a queue, those of all workers.", ["queue"])
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
BURIED = Counter("worker_buried_total", "Messages that RabbitMQ gave up, now dead in the ledger.", ["job", "reason"])
PURGED = Counter(
    "worker_purged_total", "Rows deleted from the ledger, and of mails and webhooks, because of their age."
)
HELD = Counter("worker_held_total", "Times that a message waited because the ledger could not be written.", ["job"])
CONSUMERS_EXPECTED = Gauge("worker_consumers_expected", "Queues that this process should consume.")
CONSUMERS = Gauge("worker_consumers", "Queues that this process does consume.")
IN_HAND = Gauge("worker_in_hand", "Messages of a queue that came here and are not settled yet.", ["queue"])
IN_HAND_LIMIT = Gauge("worker_in_hand_limit", "More messages of a queue than these do not come at a time.", ["queue"])
LAST_DELIVERY = Gauge("worker_last_delivery_age_seconds", "Since the last message of a queue, or the start.", ["queue"])
MAILS = Counter(
    "worker_mails_total",
    "Attempts to send a mail, by what became of it: sent, not_sent, rejected, uncertain.",
    ["verdict"],
)
SMTP_CONNECTIONS = Counter("worker_smtp_connections_total", "Connections to the mail server that were opened.")
IMPORTS = Counter("worker_imports_total", "Imports that have ended: completed, failed, cancelled.", ["state"])
IMPORT_ROWS = Counter("worker_import_rows_total", "Rows of imports: created, repeated, failed.", ["outcome"])
IMPORT_INTERRUPTIONS = Counter("worker_import_interruptions_total", "Times that an import could not go on for a while.")
WEBHOOK_CALLS = Counter(
    "worker_webhook_calls_total",
    "Calls of webhooks by what became of the delivery: delivered, retrying, failed, interrupted.",
    ["verdict"],
)
WEBHOOK_CALL_DURATION = Histogram(
    "worker_webhook_call_duration_seconds",
    "One call, from resolving the name to the end of the answer.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
WEBHOOK_CALLS_UNDER_WAY = Gauge("worker_webhook_calls_under_way", "Deliveries of webhooks in hand in this process.")
WEBHOOKS_TURNED_OFF = Counter("worker_webhooks_turned_off_total", "Webhooks turned off: failing, gone.", ["reason"])
