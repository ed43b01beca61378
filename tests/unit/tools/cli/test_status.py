"""The addresses of the processes, and the JSON of `dashboard status`."""

from shared.observability.system_status import Observation, Process, ProcessStatus, assess
from tools.cli.status import Report, processes

STACK = {
    "gateway": {"url": "http://g:1", "urls": ["http://g:1"], "internal_urls": ["http://g:2"]},
    "users": {"url": "http://u:1", "urls": ["http://u:1", "http://u:2"]},
    "orders": {"urls": ["http://o:1"]},
    "worker": {"urls": ["http://w:1"]},
}


def test_the_stack_on_this_machine() -> None:
    """All of its processes are listed, the gateway with its internal port, and replicas with numbers."""
    found = processes({}, STACK)
    assert [(one.name, one.url) for one in found] == [
        ("gateway", "http://g:2"),
        ("users", "http://u:1"),
        ("users-2", "http://u:2"),
        ("orders", "http://o:1"),
        ("worker", "http://w:1"),
    ]


def test_given_addresses_come_first() -> None:
    """The given addresses of a service replace those of the stack, which replace the defaults."""
    given = {"worker": "http://a:1/, http://b:1"}
    assert processes(given, STACK)[-2:] == [Process("worker", "http://a:1"), Process("worker-2", "http://b:1")]
    assert processes(given, {})[1] == Process("users", "http://127.0.0.1:8001")


def test_json_has_addresses_and_problems() -> None:
    """Each process has its address; jobs have no counter, whose value means nothing without a second reading."""
    ready = ProcessStatus(name="worker", status="ready", checks={"postgres": "ok"})
    samples = {("worker_jobs_dead", "email"): 2.0, ("worker_jobs", "email"): 9.0}
    told = Report([Process("worker", "http://w:1")], assess([Observation(ready, samples)])).as_json()
    assert told["well"] is False
    assert "2 dead jobs of email" in told["problems"]
    assert told["processes"] == [
        {"name": "worker", "status": "ready", "checks": {"postgres": "ok"}, "error": None, "url": "http://w:1"}
    ]
    assert told["jobs"] == [{"job": "email", "retrying": 0, "dead": 2}]
