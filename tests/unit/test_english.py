"""Documentation, docstrings, comments and messages use plain modern English: none of the phrases listed here."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
FOLDERS = ("services", "shared", "tools", "docs")
INSTEAD = {
    r"whoever": "the person or process",
    r"whosoever|whosever": "the person or process",
    r"anew": "again",
    r"by and by": "slowly, gradually",
    r"(?:is|are|was|were) told(?! to\b)": "receives, is notified",
    r"heed(?:s|ed)?": "honours, respects, trusts",
    r"what there is to": "a noun",
    r"makes the best of": "handles",
    r"fares?": "behaves",
    r"good (?:once|for one use)": "single-use",
    r"unheard": "shed, refused before any work is done",
    r"without a word": "silently",
    r"in earnest": "in production",
    r"for ever": "forever",
    r"(?:no|not) (?:longer )?well": "unhealthy, failing",
    r"all is well": "OK, in normal operation",
    r"by trial": "by experiment",
    r"somebody|someone else's": "another user, another process",
    r"nobody": "no one, none, or name who",
    r"without fear": "safely",
    r"at leisure": "later",
    r"of late": "recently",
    r"mend(?:s|ed|ing)?": "fix",
    r"the more so": "especially",
    r"aboard": "in flight",
    r"(?:to|in) the same end": "for the same purpose",
    r"let(?:s)? in": "admit",
    r"another's": "another user's",
    r"what is to be": "a noun",
    r"what there is": "a noun",
    r"thereupon|hereby|therein|thereof|wherein|whereof": "a plain conjunction",
    r"nought|naught": "nothing, zero",
    r"shall": "must, will",
    r"lest": "so that … not",
    r"in vain": "without effect",
    r"befalls?|betide|perchance|hence": "a plain verb or conjunction",
}
PHRASES = re.compile(r"(?<![\w`.-])(?:" + "|".join(INSTEAD) + r")(?![\w`])", re.IGNORECASE)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)


def sources_in(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts)


def prose_of_page(text: str) -> str:
    """Return the text without code and links, with the same number of lines."""
    return CODE.sub(lambda found: "\n" * found[0].count("\n"), text)


@cache
def prose_of_source(path: Path) -> tuple[tuple[int, str], ...]:
    """Yield line numbers and texts of comments, docstrings and all other strings of more than one word."""
    return tuple(_prose(path.read_text()))


def _prose(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, re.sub(r"``[^`]*``|`[^`]*`", "", node.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], re.sub(r"`[^`]*`", "", token.string)


def found_in(text: str) -> list[str]:
    return [f"{found[0]}: {text[max(0, found.start() - 30) : found.end() + 30]!r}" for found in PHRASES.finditer(text)]


def test_pages_use_plain_english() -> None:
    """Their prose contains none of the phrases; `INSTEAD` suggests replacements."""
    assert [f"{page}: {hit}" for page in PAGES for hit in found_in(prose_of_page(page.read_text()))] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_use_plain_english(folder: str) -> None:
    """Docstrings, comments, log lines and messages contain none of the phrases."""
    assert [
        f"{path}:{line}: {hit}"
        for path in sources_in(folder)
        for line, text in prose_of_source(path)
        for hit in found_in(text)
    ] == []


def test_a_phrase_is_found() -> None:
    """A phrase is found in prose, regardless of case, and not in code or in a longer word."""
    assert len(found_in("Whoever asks is told. It is told to stop.")) == 2
    assert found_in(prose_of_page("`whoever` and welfare, hearsay")) == []
    assert list(_prose('"""Read it anew."""  # whoever asks')) == [(1, "Read it anew."), (1, "# whoever asks")]
