"""CSV files of orders as spreadsheets, shops and editors write them, each with the expected result."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.contracts.imports import COLUMNS

HEADER = ",".join(COLUMNS)
ROW = "{reference},EUR,tea,{name},1,1250,2026-01-31T12:00:00Z"


@dataclass(frozen=True)
class Sample:
    """Either `refused` with this text, or `orders` (reference and name) and `problems` with the lines of invalid
    rows."""

    name: str
    content: bytes
    orders: list[tuple[str, str]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    refused: str = ""


def row(reference: str = "a", name: str = "Tea", **more: str) -> str:
    """Return a row with an order, with cells replaced by `more`."""
    cells = {
        "reference": reference,
        "currency": "EUR",
        "sku": "tea",
        "name": name,
        "quantity": "1",
        "unit_price": "1250",
        "ordered_at": "2026-01-31T12:00:00Z",
    }
    return ",".join((cells | more).values())


def text(*lines: str, header: str = HEADER, end: str = "\n") -> str:
    return end.join((header, *lines, ""))


def plain(*lines: str) -> bytes:
    return text(*lines).encode()


A, B = ("a", "Tea"), ("b", "Tea")
BOTH = [A, B]
BOM = "\ufeff"


def samples() -> Iterator[Sample]:
    yield from _encodings()
    yield from _line_ends()
    yield from _blank_rows()
    yield from _quotes()
    yield from _headers()
    yield from _references()
    yield from _cells()


def _encodings() -> Iterator[Sample]:
    both = text(row("a"), row("b"))
    umlaut = text(row("a"), row("b", "Grüner Tee"))
    yield Sample("utf-8", umlaut.encode(), [A, ("b", "Grüner Tee")])
    yield Sample("a byte order mark", (BOM + both).encode(), BOTH)
    yield Sample("a byte order mark and Windows' line ends", (BOM + both).replace("\n", "\r\n").encode(), BOTH)
    yield Sample("utf-16 of Excel", both.encode("utf-16"), refused="UTF-16")
    yield Sample("utf-16 without a mark", both.encode("utf-16-le"), refused="UTF-16")
    yield Sample("utf-16, the other way round", both.encode("utf-16-be"), refused="UTF-16")
    yield Sample("utf-32", both.encode("utf-32"), refused="UTF-16")
    yield Sample("Windows-1252", umlaut.encode("cp1252"), [A], {3: "is not in UTF-8"})
    yield Sample("Latin-1 in the header", "réference\n".encode("latin-1"), refused="is not in UTF-8")
    yield Sample("an old Mac's encoding", umlaut.encode("mac_roman"), [A], {3: "is not in UTF-8"})
    yield Sample("all scripts", plain(row("a", "茶 чай شاي 🍵")), [("a", "茶 чай شاي 🍵")])
    yield Sample(
        "a cut character",
        plain(row("a"), row("b", "Tee é")).replace("é".encode(), b"\xc3"),
        [A],
        {3: "is not in UTF-8"},
    )
    yield Sample("a NUL in a cell", plain(row("a", "T\0a"), row("b")), [B], {2: "cannot be stored"})
    yield Sample("a NUL in the reference", plain(row("a\0"), row("b")), [B], {2: "cannot be stored"})
    yield Sample("encoded surrogates", plain(row("a")) + b"b,EUR,tea,\xed\xa0\x80,1,2,x\n", [A], {3: "is not in UTF-8"})


def _line_ends() -> Iterator[Sample]:
    lines = (row("a"), row("b"))
    yield Sample("unix", plain(*lines), BOTH)
    yield Sample("windows", text(*lines, end="\r\n").encode(), BOTH)
    yield Sample("old mac", text(*lines, end="\r").encode(), refused="ends its lines with CR")
    yield Sample("none at the end", plain(*lines)[:-1], BOTH)
    yield Sample("mixed", f"{HEADER}\n{lines[0]}\r\n{lines[1]}\n".encode(), BOTH)
    yield Sample("a CR within a row", plain(row("a", "T\rea"), row("b")), [B], {2: "carriage return"})
    yield Sample("a line break in a quoted cell", plain(row("a", '"Tea\ngreen"'), row("b")), [("a", "Tea\ngreen"), B])
    yield Sample("a blank line within", plain(row("a"), "", "", row("b")), BOTH)
    yield Sample("end of file of DOS", plain(*lines) + b"\x1a", BOTH, {4: "columns"})
    yield Sample("nothing but a header", plain(), [])
    yield Sample("line separators of Unicode", plain(row("a", "Tea\u2028green")), [("a", "Tea\u2028green")])


def _blank_rows() -> Iterator[Sample]:
    for name, blank in {
        "rows of commas": ",,,,,,",
        "rows of too many commas": "," * 30,
        "rows of few commas": ",,",
        "rows of blanks": "  ,\t, , ,,,",
        "rows of no-break spaces": "\u00a0,\u00a0,,,,,",
        "rows of empty quotes": '"","","","","","",""',
        "a row of one blank": "   ",
    }.items():
        yield Sample(name, plain(row("a"), blank, blank, row("b"), blank), BOTH)
    yield Sample("rows of commas, as Windows ends them", text(row("a"), ",,,,,,", row("b"), end="\r\n").encode(), BOTH)
    padded = text(row("a") + ",,", row("b") + ",,", ",,,,,,,,", header=HEADER + ",,")
    yield Sample("empty columns to the right", padded.encode(), BOTH)
    yield Sample("a note to the right", plain(row("a") + ",", row("b") + ",paid"), [A], {3: "8 columns instead of 7"})
    yield Sample("a row that ends early", plain(row("a"), "b,EUR,tea"), [A], {3: "3 columns instead of 7"})
    yield Sample("a sum below", plain(row("a"), ",,,,2,2500,"), [A], {3: "is missing"})


def _quotes() -> Iterator[Sample]:
    yield Sample("a comma in quotes", plain(row("a", '"Tea, green"')), [("a", "Tea, green")])
    yield Sample("quotes in quotes", plain(row("a", '"""Best"" tea"')), [("a", '"Best" tea')])
    yield Sample("all in quotes", plain(",".join(f'"{cell}"' for cell in row("a").split(","))), [A])
    yield Sample("an inch sign", plain(row("a", '19" rack'), row("b")), [("a", '19" rack'), B])
    yield Sample("an inch sign in the last row", plain(row("b"), row("a", '19" rack')), [B, ("a", '19" rack')])
    inches = [("a", '19" rack'), ("b", '6" pipe')]
    yield Sample("inch signs in two rows", plain(row("a", '19" rack'), row("b", '6" pipe')), inches)
    yield Sample("two in one cell", plain(row("a", '5"x7" board'), row("b")), [("a", '5"x7" board'), B])
    wrong = plain(row("a", '"19" rack"'), row("b"))
    yield Sample("an inch sign in quotes", wrong, [B], {2: "misplaced quotation mark"})
    yield Sample("a quote never closed", plain(row("a", '"Tea'), row("b")), [B], {2: "misplaced quotation mark"})
    long = [(f"r{number}", "Tea") for number in range(400)]
    rest = [row(reference) for reference, _ in long]
    yield Sample("a quote never closed in a long file", plain(row("a", '"T'), *rest), long, {2: "quotation mark"})
    yield Sample("an inch sign in a long file", plain(row("a", '2" nail'), *rest), [("a", '2" nail'), *long])
    yield Sample("typographic quotes", plain(row("a", "„Tea“")), [("a", "„Tea“")])
    yield Sample("an apostrophe", plain(row("a", "Earl's")), [("a", "Earl's")])
    yield Sample("a blank before the quote", plain(row("a", ' "Tea, green"')), [], {2: "8 columns instead of 7"})


def _headers() -> Iterator[Sample]:
    both = (row("a"), row("b"))
    for name, header, refused in (
        ("semicolons", HEADER.replace(",", ";"), "by semicolons"),
        ("tabs", HEADER.replace(",", "\t"), "by tabs"),
        ("bars", HEADER.replace(",", "|"), "by bars"),
        ("a column twice", HEADER.replace("sku", "name"), "has the column name twice"),
        ("a column too few", HEADER.replace(",sku", ""), "lacks the column sku"),
        ("a column too many", HEADER + ",note", "unknown column"),
        ("another order", ",".join(reversed(COLUMNS)), "in another order"),
        ("capitals", HEADER.upper(), "another header"),
        ("none", row("a"), "another header"),
        ("a title above", "Orders of May,,,,,,", "another header"),
        ("Excel's hint", "sep=,", "another header"),
        ("a quote", '"' + HEADER, "another header"),
    ):
        yield Sample(f"header: {name}", text(*both, header=header).encode(), refused=refused)
    yield Sample("header: in quotes", text(*both, header='"' + HEADER.replace(",", '","') + '"').encode(), BOTH)
    yield Sample("header: with blanks", text(*both, header=HEADER.replace(",", " , ")).encode(), BOTH)
    yield Sample("header: with no-break spaces", text(*both, header=HEADER.replace(",", ",\u00a0")).encode(), BOTH)
    yield Sample("an empty file", b"", refused="another header")
    yield Sample("a blank first line", b"\n" + plain(*both), refused="another header")
    yield Sample("a workbook", b"PK\x03\x04" + bytes(100), refused="is a workbook")
    yield Sample("an old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), refused="is a workbook")
    yield Sample("a web page", b"<!doctype html>\n<title>Log in</title>\n", refused="another header")
    yield Sample("json", b'[{"reference": "a"}]\n', refused="another header")
    yield Sample("a header of a megabyte", b"x" * 1_000_000, refused="another header")


def _references() -> Iterator[Sample]:
    for name, reference in {
        "padded with blanks": " a ",
        "padded with tabs": "\ta\t",
        "padded with no-break spaces": "\u00a0a\u00a0",
        "with a byte order mark": "\ufeffa",
        "with a mark that nobody sees": "a\u200b",
        "in quotes, padded": '"a  "',
    }.items():
        yield Sample(f"reference: {name}", plain(row(reference)), [A])
    for reference in ("INV 1", "INV  1", "INV\u00a01", "INV\u2009 1"):
        yield Sample(f"reference: {reference!a}", plain(row(reference)), [("INV 1", "Tea")])
    yield Sample("reference: decomposed", plain(row("cafe\u0301")), [("caf\u00e9", "Tea")])
    yield Sample("reference: a formula", plain(row("=1+1")), [("=1+1", "Tea")])
    yield Sample("reference: missing", plain(row(""), row("b")), [B], {2: "is missing"})
    yield Sample("reference: a byte order mark alone", plain(row("\ufeff"), row("b")), [B], {2: "is missing"})
    yield Sample("reference: too long", plain(row("x" * 201), row("b")), [B], {2: "more than 200 characters"})
    yield Sample("reference: of a number", plain(row("000123")), [("000123", "Tea")])


def _cells() -> Iterator[Sample]:
    for name, cells, problem in (
        ("a price with decimals", {"unit_price": "12.50"}, "such as 1250 for 12.50 EUR"),
        ("a price with a comma", {"unit_price": '"12,50"'}, "whole number of minor units"),
        ("a price with its currency", {"unit_price": "1250 EUR"}, "whole number of minor units"),
        ("a price without end", {"unit_price": "9" * 400}, "whole number of minor units"),
        ("a negative price", {"unit_price": "-1"}, "at least 0"),
        ("a price too high", {"unit_price": "1000000001"}, "at most 1000000000"),
        ("no price", {"unit_price": ""}, "is missing"),
        ("a quantity of none", {"quantity": "0"}, "at least 1"),
        ("a quantity as Excel rounds it", {"quantity": "1E+03"}, "whole number"),
        ("digits of another script", {"quantity": "٣"}, "whole number"),
        ("an unknown currency", {"currency": "XXX"}, "a currency of ISO 4217"),
        ("a currency's sign", {"currency": "€"}, "fewer than 3 characters"),
        ("a day", {"ordered_at": "2026-01-31"}, "a time with its zone"),
        ("a German day", {"ordered_at": "31.01.2026 12:00"}, "a time with its zone"),
        ("an American day", {"ordered_at": "1/31/2026 12:00 PM"}, "a time with its zone"),
        ("a day's number in Excel", {"ordered_at": "46053.5"}, "a time with its zone"),
        ("a day that there is not", {"ordered_at": "2026-02-30T12:00:00Z"}, "not a valid time"),
        ("an hour that there is not", {"ordered_at": "2026-01-31T99:00:00Z"}, "not a valid time"),
        ("a time to come", {"ordered_at": "2999-01-01T00:00:00Z"}, "not in the future"),
        ("a cell of errors", {"unit_price": "#REF!"}, "whole number of minor units"),
        ("a long name", {"name": "x" * 201}, "more than 200 characters"),
    ):
        yield Sample(f"cell: {name}", plain(row("a", **cells), row("b")), [B], {2: problem})
    padded = row("a", currency=" EUR ", quantity=" 1", unit_price="1250\u00a0", ordered_at=" 2026-01-31T12:00:00Z ")
    yield Sample("cell: padded", plain(padded), [A])
    yield Sample("cell: small letters of a currency", plain(row("a", currency="eur")), [A])
    yield Sample("cell: a zone of its own", plain(row("a", ordered_at="2026-01-31T12:00:00+05:30")), [A])
    yield Sample("a line of 17 KiB", plain("x" * 17_000, row("b")), [B], {2: "longer than 16 KiB"})
    yield Sample("a line of a megabyte", plain("," * 1_000_000, row("b")), [B], {2: "longer than 16 KiB"})


SAMPLES = list(samples())
