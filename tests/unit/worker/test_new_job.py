"""A new job is one file: everything else follows from its decorator."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.project_copy import copy_project, run_in

pytestmark = pytest.mark.full

JOB = '''"""Sends greetings."""

from uuid import UUID

from services.worker.jobs import job
from shared.contracts.tasks import Task
from shared.db.engine import Connection


class SendGreeting(Task, frozen=True, kw_only=True):
    """Send the greeting of an order."""

    order_id: UUID


@job(on=SendGreeting, attempts=10, name="greetings")
async def send_greeting(task: SendGreeting, db: Connection) -> None:
    """Record that a greeting is due."""
    await db.execute("SELECT $1::uuid", task.order_id)
'''
DESCRIBE = """
import json
from prometheus_client import REGISTRY
from services.worker import jobs
from services.worker.broker.consumers import Consumers
from services.worker.live_hints import Hints
from services.worker.settings import DEFAULTS, Settings
from shared.contracts.topology import QUEUES

settings = Settings(environment="development", database_url="", rabbitmq_url="amqp://127.0.0.1:1")
bound = [jobs.bind(each, {}, settings) for name, each in jobs.discover().items() if name == "greetings"]
Consumers(settings, DEFAULTS, None, bound, Hints(), print)
print(json.dumps({
    "queue": QUEUES["greetings"].name,
    "attempts": bound[0].policy.attempts,
    "expected": REGISTRY.get_sample_value("worker_consumers_expected"),
}))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one more file, after `make docs`."""
    tree = tmp_path_factory.mktemp("project") / "copy"
    copy_project(tree)
    folder = tree / "services/worker/greetings"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "job.py").write_text(JOB)
    run_in(tree, [sys.executable, "-m", "tools.docs.pages"])
    return tree


def test_a_job_has_its_queue(tree: Path) -> None:
    """The subscriptions are generated and formatted, and the worker expects a consumer besides that of dead letters."""
    subscriptions = tree / "shared/contracts/subscriptions.py"
    assert '"greetings": ("task.send_greeting",),' in subscriptions.read_text()
    run_in(tree, [sys.executable, "-m", "ruff", "check", "services/worker/greetings", str(subscriptions)])
    run_in(tree, [sys.executable, "-m", "ruff", "format", "--check", "services/worker/greetings", str(subscriptions)])
    described = json.loads(run_in(tree, [sys.executable, "-c", DESCRIBE]))
    assert described == {"queue": "worker.greetings", "attempts": 10, "expected": 2.0}


def test_a_job_is_documented(tree: Path) -> None:
    """The AsyncAPI document has its queue and its task, and the page its fields."""
    document = yaml.safe_load((tree / "docs/reference/asyncapi.yaml").read_text())
    channel = document["channels"]["worker.greetings"]
    assert list(channel["messages"]) == ["task.send_greeting"]
    assert document["operations"]["worker.does.greetings"]["action"] == "receive"
    message = document["components"]["messages"]["task.send_greeting"]
    assert "order_id" in document["components"]["schemas"]["SendGreeting"]["properties"]
    assert message["payload"]["$ref"].endswith("/SendGreeting")
    page = (tree / "docs/reference/events.md").read_text()
    assert "### task.send_greeting" in page


def test_a_job_is_scaled(tree: Path) -> None:
    """The trigger matches its queue."""
    scaling, _ = yaml.safe_load_all((tree / "deploy/k8s/base/worker-scaling.yaml").read_text())
    [trigger] = scaling["spec"]["triggers"]
    assert re.search(trigger["metadata"]["queueName"], "worker.greetings")
