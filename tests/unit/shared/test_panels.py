"""What a service is asked about panels."""

import pytest

from shared.errors import InvalidInput
from shared.panels import read_query


@pytest.mark.parametrize("body", [b"", b"[]", b'{"ids":[]}', b"\xff", b'{"a":' * 10_000, b'{"ids":["x"]}'])
def test_a_body_that_is_no_query_is_invalid_input(body: bytes) -> None:
    """Also one that is nested deeper than anybody reads."""
    with pytest.raises(InvalidInput):
        read_query(body)
