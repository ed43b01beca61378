"""A new job is one file: everything else follows from its decorator."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.project_copy import copy_project, run_in

JOB = '''"""Sends receipts."""

from uuid import UUID

from services.worker.jobs import job
from shared.contracts.tasks import Task
from shared.db.engine import Connection


class SendReceipt(Task, frozen=True, kw_only=True):
    """Send the receipt of an order."""

    order_id: UUID


@job(on=SendReceipt, attempts=10, name="receipts")
async def send_receipt(task: SendReceipt, db: Connection) -> None:
    """Record that a receipt is due."""
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
bound = [jobs.bind(each, {}, settings) for name, each in jobs.discover().items() if name == "receipts"]
Consumers(settings, DEFAULTS, None, bound, Hints(), print)
print(json.dumps({
    "queue": QUEUES["receipts"].name,
    "attempts": bound[0].policy.attempts,
    "expected": REGISTRY.get_sample_value("worker_consumers_expected"),
}))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one more file, after `make docs`."""
    tree = tmp_path_factory.mktemp("project") / "copy"
    copy_project(tree)
    folder = tree / "services/worker/receipts"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "job.py").write_text(JOB)
    run_in(tree, [sys.executable, "-m", "tools.docs.pages"])
    return tree


def test_a_job_has_its_queue(tree: Path) -> None:
    """The subscriptions are generated and formatted, and the worker expects a consumer besides that of dead letters."""
    subscriptions = tree / "shared/contracts/subscriptions.py"
    assert '"receipts": ("task.send_receipt",),' in subscriptions.read_text()
    run_in(tree, [sys.executable, "-m", "ruff", "check", "services/worker/receipts", str(subscriptions)])
    run_in(tree, [sys.executable, "-m", "ruff", "format", "--check", "services/worker/receipts", str(subscriptions)])
    described = json.loads(run_in(tree, [sys.executable, "-c", DESCRIBE]))
    assert described == {"queue": "worker.receipts", "attempts": 10, "expected": 2.0}


def test_a_job_is_documented(tree: Path) -> None:
    """The AsyncAPI document has its queue and its task, and the page its fields."""
    document = yaml.safe_load((tree / "docs/reference/asyncapi.yaml").read_text())
    channel = document["channels"]["worker.receipts"]
    assert list(channel["messages"]) == ["task.send_receipt"]
    assert document["operations"]["worker.does.receipts"]["action"] == "receive"
    message = document["components"]["messages"]["task.send_receipt"]
    assert "order_id" in document["components"]["schemas"]["SendReceipt"]["properties"]
    assert message["payload"]["$ref"].endswith("/SendReceipt")
    page = (tree / "docs/reference/events.md").read_text()
    assert "### task.send_receipt" in page


def test_a_job_is_scaled(tree: Path) -> None:
    """The trigger matches its queue."""
    scaling, _ = yaml.safe_load_all((tree / "deploy/k8s/base/worker-scaling.yaml").read_text())
    [trigger] = scaling["spec"]["triggers"]
    assert re.search(trigger["metadata"]["queueName"], "worker.receipts")
