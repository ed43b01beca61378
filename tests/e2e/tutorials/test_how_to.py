"""docs/how-to/aggregate-your-own-services.md, followed as a reader would: its files written, its commands typed, and
their output compared with what it shows."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tutorials.blocks import Block, blocks, write
from tests.e2e.tutorials.terminal import Terminal, terminal
from tests.support.project_copy import ROOT
from tools.devstack.system.ports import free_port

PAGE = (ROOT / "docs/how-to/aggregate-your-own-services.md").read_text()
PORTS = ("7001", "7002", "8000")
"""The ports on the page, of both services and of the gateway. Each is replaced: it may be in use on this machine."""
VARIES = {"generated_at", "age_ms"}
"""Members of a dashboard that are not as the page shows them."""
OURS = re.compile(r"(GATEWAY|ENVIRONMENT|PYTEST|COV)")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in the folder of the project, of which only the environment is there."""
    project = tmp_path / "dashboard"
    project.mkdir()
    (project / ".venv").symlink_to(sys.prefix)
    own = {name: value for name, value in os.environ.items() if not OURS.match(name)}
    ports = {"GATEWAY_PORT": "8000", "GATEWAY_INTERNAL_PORT": str(free_port()), "GATEWAY_BUDGET_MS": "10000"}
    with terminal(project, own | ports) as opened:
        yield opened


@pytest.mark.full
def test_the_page_works_as_it_stands(reader: Terminal, tmp_path: Path) -> None:
    """Every file, change and command, in the order of the page; every output that it shows."""
    page = PAGE.replace("timeout_ms = 500", "timeout_ms = 9000")  # the machine may be busy
    for port in PORTS:
        page = page.replace(port, str(free_port()))
    [gateway] = set(re.findall(r"127\.0\.0\.1:(\d+)/v1/dashboard", page))
    reader.type(f"export GATEWAY_PORT={gateway}")
    shown = 0
    output = ""
    for block in blocks(page):
        if block.file is not None:
            write(block, tmp_path / "aggregate")
        elif block.language == "sh":
            output = reader.type(block.text)
        elif block.language == "json":
            shown += 1
            assert without_times(output_of(output)) == without_times(json.loads(block.text)), block.said
        elif block.language == "text":
            assert without_numbers(output) == without_numbers(block.text)
    assert shown == len(re.findall(r"^```json$", PAGE, re.MULTILINE)) > 3
    log = (tmp_path / "aggregate/gateway.log").read_text()
    assert "traceback" not in log.lower()


def output_of(output: str) -> Any:
    """Return the JSON that was printed last."""
    [*_, last] = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(last)


def without_numbers(table: str) -> str:
    """Return the words of a printed table: times and ports differ, and so do the widths of columns."""
    return " ".join(re.sub(r"[\d.]+", "0", table).split())


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(member) for name, member in value.items() if name not in VARIES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def test_the_files_are_served_by_nginx_where_it_is_installed(tmp_path: Path) -> None:
    """The configuration on the page is valid."""
    if (nginx := shutil.which("nginx")) is None:
        pytest.skip("nginx is not installed")
    [configuration] = [block.text for block in blocks(PAGE) if block.file == "nginx.conf"]
    (tmp_path / "nginx.conf").write_text(configuration)
    with terminal(tmp_path, os.environ) as shell:
        assert "successful" in shell.type(f'{nginx} -t -e stderr -p "$PWD" -c nginx.conf')


@pytest.mark.parametrize("page", sorted((ROOT / "docs/how-to").glob("*.md")), ids=lambda path: path.stem)
def test_the_reader_is_told_which_file_it_is(page: Path) -> None:
    """Each block's file name is in the text before it."""
    text = page.read_text()
    found: list[Block] = [block for block in blocks(text) if block.file is not None]
    for block in found:
        assert f"`{block.file}`" in text[: text.index(block.text)], block.file
