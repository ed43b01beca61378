import json
from pathlib import Path

from tools.devstack.servers.rabbitmq import DEFINITIONS, config_text, definitions_text


def test_the_policies_of_the_deployment_are_used() -> None:
    """A private node has the policies of production, and the account that they omit."""
    definitions = json.loads(definitions_text("guest", "guest"))
    assert definitions["policies"] == json.loads(DEFINITIONS.read_text())["policies"]
    assert [user["name"] for user in definitions["users"]] == ["guest"]


def test_it_listens_on_loopback_only() -> None:
    """A private node is not reachable from other machines."""
    assert "listeners.tcp.1 = 127.0.0.1:1234" in config_text(1234, Path("d.json"))
