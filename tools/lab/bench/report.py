"""Tables in Markdown, and the marked blocks of a page that contain them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import median

PAGE = Path("docs/performance.md")


@dataclass(frozen=True)
class Spread:
    """The repeated measurements of one figure."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def show(self, digits: int = 0) -> str:
        """Return the median and the range."""
        if not self.values:
            return "–"  # noqa: RUF001
        low, high = min(self.values), max(self.values)
        return f"{self.median:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"  # noqa: RUF001


def spread(values: Sequence[float]) -> Spread:
    """Ignore NaN: a window without any response."""
    return Spread(tuple(value for value in values if isfinite(value)))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the ratio round by round, so that both measurements have the same conditions."""
    return spread([a / b for a, b in zip(ours, theirs, strict=False) if b])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass
class Report:
    """The results of one benchmark: paragraphs and tables."""

    name: str
    parts: list[str] = field(default_factory=list)

    def add(self, *parts: str) -> None:
        self.parts.extend(parts)

    @property
    def text(self) -> str:
        return "\n\n".join(self.parts)


def with_block(page: str, name: str, text: str) -> str:
    """Return the page with the content of the block replaced. Raises `LookupError` if it has no such block."""
    block = re.compile(rf"(<!-- bench:{re.escape(name)} -->\n).*?(<!-- /bench -->)", re.DOTALL)
    changed, count = block.subn(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)
    if not count:
        raise LookupError(f"no block bench:{name}")
    return changed


def write(report: Report, page: Path = PAGE) -> None:
    page.write_text(with_block(page.read_text(), report.name, report.text))
