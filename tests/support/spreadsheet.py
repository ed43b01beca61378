"""Opens a CSV file in LibreOffice with the defaults of its import dialogue, and returns the cells."""

import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

XML = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
UTF_8 = 76
needs_libreoffice = pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")


def cells(content: bytes, folder: Path, separator: str = ",") -> list[list[str | float | None]]:
    """Return the cells by row: text, numbers, and None for a formula."""
    (folder / "report.csv").write_bytes(content)
    profile = f"-env:UserInstallation=file://{folder}/profile"
    filtered = f"--infilter=CSV:{ord(separator)},34,{UTF_8}"
    command = ("soffice", profile, "--headless", filtered, "--convert-to", "xlsx", "report.csv")
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=180)
    with zipfile.ZipFile(folder / "report.xlsx") as book:
        shared = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))  # noqa: S314  our own file
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314
    texts = ["".join(part.itertext()) for part in shared.iter(f"{XML}si")]
    return [[_value(cell, texts) for cell in row.iter(f"{XML}c")] for row in sheet.iter(f"{XML}row")]


def _value(cell: ElementTree.Element, texts: list[str]) -> str | float | None:
    if cell.find(f"{XML}f") is not None:
        return None
    value = cell.findtext(f"{XML}v") or "0"
    return texts[int(value)] if cell.get("t") == "s" else float(value)
