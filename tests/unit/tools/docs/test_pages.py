"""Rules for every page of the documentation."""

import re
from pathlib import Path

import pytest

from tests.support.links import ROOT, anchors, leads_somewhere, links, links_in, pages

PAGES = pages()
DOCS = ROOT / "docs"
ABOUT_EARLIER_VERSIONS = ("CHANGELOG.md", "docs/upgrading.md")
VARIABLES = sorted(
    {
        found
        for page in PAGES
        if str(page.relative_to(ROOT)) not in ABOUT_EARLIER_VERSIONS
        for found in re.findall(r"\b(?:GATEWAY|USERS|ORDERS|WORKER)_[A-Z0-9_]+\b(?!_?[…*])", page.read_text())
    }
)
KNOWN = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "reference/configuration.md").read_text(), re.MULTILINE))
SERVICE_URLS = {"GATEWAY_USERS_URL", "GATEWAY_ORDERS_URL", "GATEWAY_WORKER_URL"}
"""Read from the panels file: each service in it has such a variable."""


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links and pictures exist, and so do the headings that links name."""
    assert [link for link in links(page) if not leads_somewhere(page, link)] == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    """A missing file, a missing heading and a file outside of the project are found."""
    page = DOCS / "operations.md"
    for link in ("nowhere.md", "#nowhere", "security.md#nowhere", "../../secrets.md"):
        assert not leads_somewhere(page, link)
    assert leads_somewhere(page, "security.md#audit-log")


@pytest.mark.parametrize("folder", ["decisions", "tutorials", "reference", "."])
def test_every_page_is_on_the_map(folder: str) -> None:
    """The index of the decisions lists each of them; docs/README.md lists all other pages."""
    index = DOCS / ("decisions/README.md" if folder == "decisions" else "README.md")
    named = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    there = {path.resolve() for path in (DOCS / folder).glob("*.md") if path.name != "README.md"}
    assert there <= named


def test_no_page_is_on_the_map_twice() -> None:
    """Each guide is listed once, under one name. The questions above the map may lead to any page."""
    questions, _, tables = (DOCS / "README.md").read_text().partition("\n## Tutorials\n")
    named = [link for link in links_in(tables) if "#" not in link and not link.startswith("..")]
    assert len(named) == len(set(named)) > 10
    assert questions.count("\n| ") == 11  # ten questions, with the head of the table


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_that_a_page_names_exists(variable: str) -> None:
    """Variables of earlier versions are named only where an upgrade is described."""
    assert {variable, variable.removesuffix("_FILE")} & (KNOWN | SERVICE_URLS)


def test_every_picture_is_shown() -> None:
    """Every picture on a page exists, and every picture is on a page."""
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    left = {path for path in (DOCS / "images").rglob("*") if path.is_file() and path.resolve() not in shown}
    assert left == set()


def test_decisions_are_numbered_without_a_gap_or_a_repetition() -> None:
    """Each decision starts with its own title."""
    numbers = sorted(path.name[:4] for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert len(numbers) == len(set(numbers))
    for path in (DOCS / "decisions").glob("[0-9]*.md"):
        assert re.match(r"# \S", path.read_text()), path


def test_every_command_that_a_page_names_exists() -> None:
    """Targets of make and commands of `dashboard` exist."""
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z0-9]+)", page.read_text()))
        assert named <= targets, page


def test_headings_are_found() -> None:
    """Headings are found, including those with the same name."""
    assert {"audit-log", "roles"} <= anchors(DOCS / "security.md")
