"""The files of the dashboards and alerts."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from tools.cli.main import app
from tools.lab.observe.expressions import (
    ALERTS,
    DASHBOARDS,
    RECORDED,
    ROOT,
    RULES,
    board,
    every_expression,
    panels,
    selectors,
)

OPERATIONS = (ROOT / "docs/operations.md").read_text()
RUNBOOK = "docs/operations.md#"
PROMTOOL = shutil.which("promtool")
ALERTING = [rule for rule in RULES if "alert" in rule]


def sections() -> dict[str, str]:
    """Return the texts of operations.md by the anchors that a forge generates from the headings."""
    parts = re.split(r"^#+ (.*)$", OPERATIONS, flags=re.MULTILINE)[1:]
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in parts[::2]]
    return dict(zip(anchors, parts[1::2], strict=True))


SECTIONS = sections()


@pytest.mark.parametrize("expression", [pytest.param(told, id=place) for place, told in every_expression()])
def test_every_expression_is_promql_over_named_metrics(expression: str) -> None:
    """Every metric with a name of our own recording rules is also recorded."""
    names = {selector.metric for selector in selectors(expression)}
    assert names
    assert all(names)
    assert {name for name in names if ":" in name} <= RECORDED


@pytest.mark.parametrize("rule", ALERTING, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_runbook(rule: dict[str, Any]) -> None:
    """Each alert has a section with its meaning, where to look and what to do; and the alert links to it."""
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    link = rule["annotations"]["runbook_url"]
    assert link.startswith(RUNBOOK)
    section = SECTIONS[link.removeprefix(RUNBOOK)]
    assert all(word in section for word in ("**Means.**", "**Look.**", "**Do.**"))
    assert rule["alert"] in section


def test_every_alert_has_a_test() -> None:
    """`alerts_test.yml` has a test for each alert."""
    tested = (ALERTS.parent / "alerts_test.yml").read_text()
    assert [rule["alert"] for rule in ALERTING if f'alertname="{rule["alert"]}"' not in tested] == []


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"`(dashboard [a-z][^`]*)`|^(dashboard .*)$", OPERATIONS, re.MULTILINE)))
)
def test_the_runbooks_commands_exist(command: tuple[str, str]) -> None:
    """Every `dashboard …` in operations.md is an existing command with existing options."""
    words = "".join(command).partition("#")[0].split()[1:]
    found: Any = get_command(app)
    options: set[str] = set()
    while True:
        options |= {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
        deeper = getattr(found, "commands", {}).get(words[0]) if words else None
        if deeper is None:
            break
        found, words = deeper, words[1:]
    assert found is not get_command(app), "no such command"
    assert not getattr(found, "commands", None) or not words or words[0] == "…", "no such command"
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_complete(path: Path) -> None:
    """Each dashboard has a unique id. Every panel has a title, a position of its own, and our data source."""
    told = board(path)
    assert told["uid"] == f"dashboard-{path.stem}"
    assert len({panel["id"] for panel in told["panels"]}) == len(told["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in panels(path):
        assert panel["title"]
        assert panel["datasource"]["uid"] == "prometheus"
        assert all(target["datasource"]["uid"] == "prometheus" for target in panel["targets"])
        at = panel["gridPos"]
        place = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert taken.isdisjoint(place)
        taken |= place


def test_the_data_source_is_provisioned() -> None:
    """The data source has the id that the dashboards use."""
    folder = ROOT / "deploy/grafana/provisioning"
    [source] = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["uid"] == "prometheus"
    [provider] = yaml.safe_load((folder / "dashboards/dashboards.yml").read_text())["providers"]
    services = yaml.safe_load((ROOT / "deploy/compose/observability.yml").read_text())["services"]
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: tools/devstack/install.sh prometheus")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        pytest.param(("test", "rules", "alerts_test.yml"), marks=pytest.mark.full),
    ],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    """The configuration is valid, and each alert fires exactly when it should."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=ALERTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
