"""The links in the project's pages, and the headings that they may lead to."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
EXTERNAL = re.compile(r"[a-z]+:")


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])


def links(page: Path) -> Iterator[str]:
    """Yield the relative links of a page, as they are written."""
    return links_in(page.read_text())


def links_in(text: str) -> Iterator[str]:
    """Yield the relative links of a text."""
    for found in LINK.finditer(CODE.sub("``", FENCED.sub("", text))):
        target = found[1] or found[2]
        if not EXTERNAL.match(target):
            yield target


def leads_somewhere(page: Path, link: str) -> bool:
    """Return whether the link leads to an existing file or folder, and to a heading in it."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors that a forge generates from headings; the second of the same name has a number."""
    found: list[str] = []
    for heading in HEADING.findall(FENCED.sub("", page.read_text())):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return frozenset(found)
