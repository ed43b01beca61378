"""Content negotiation as in RFC 9110."""

import pytest

from shared.http.negotiation import accepts_gzip, prefers_html


@pytest.mark.parametrize(
    ("lines", "accepted"),
    [
        ([], False),
        ([""], False),
        (["gzip"], True),
        (["GZIP"], True),
        (["br, x-gzip"], True),
        (["deflate, gzip;q=0.5, br"], True),
        (["gzip;q=1.000"], True),
        (["gzip ; q=0.001"], True),
        (["*"], True),
        (["*;q=0, gzip"], True),
        (["gzip, *;q=0"], True),
        (["br", "gzip"], True),
        (["identity;q=0.5, gzip"], True),
        (["gzip, identity"], True),
        (["identity;q=0, *"], True),
        (["identity"], False),
        (["gzip;q=0"], False),
        (["gzip; q=0.000, br"], False),
        (["*;q=0.1, gzip;q=0"], False),
        (["gzip;q=0, *;q=0.1"], False),
        (["*;q=0"], False),
        (["gzip;q=0", "*"], False),
        (["gzip;q=0.5, identity"], False),
        (["gzipped"], False),
        (["gzip;q=1.2.3"], False),
        (["gzip;q=2"], False),
        (["gzip;level=9"], False),
    ],
)
def test_when_gzip_is_accepted(lines: list[str], *, accepted: bool) -> None:
    """gzip is accepted if it, or the wildcard, has a weight above zero and identity is not preferred."""
    assert accepts_gzip([(b"accept-encoding", line.encode()) for line in lines]) is accepted


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/xml;q=0.9, text/html;q=0.5", True),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("text/html;q=0", False),
        ("application/json, text/html;q=0.9", False),
        ("image/avif,image/webp,*/*;q=0.8", False),
        ("application/json, text/plain, */*", False),
    ],
)
def test_html_is_for_those_who_name_it(line: str, wanted: bool) -> None:
    assert prefers_html([(b"accept", line.encode())]) is wanted
