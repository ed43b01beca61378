"""What becomes of the documents in which services describe themselves. No servers."""

from typing import Any

import pytest

from services.gateway.openapi import documents
from services.gateway.openapi.documents import Documents
from services.gateway.settings import DEFAULTS
from tests.support.gateway.declared import OPERATIONS

DEEP = 100_000


class Upstream:
    """Answers every question for its description alike."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def openapi(self, _max_bytes: int) -> bytes:
        return self._body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe{}",
        b'{"paths": "\xff"}',
        b'{"paths": "\\ud800"}',
        b'{"paths": 5}',
        b'{"paths": {"/v1/orders": 5}}',
        b'{"paths": {"/v1/orders": {"get": []}}}',
        b'{"components": []}',
        b'{"components": {"schemas": 5}, "paths": {"/v1/orders": {"get": {"$ref": "#/components/schemas/x"}}}}',
        b'{"a": ' * DEEP + b"1" + b"}" * DEEP,
    ],
)
async def test_a_document_that_cannot_be_used_is_left_out(body: bytes) -> None:
    """It ends neither the round of fetches nor the description of the whole API."""
    upstreams: Any = {"orders": Upstream(body), "users": Upstream(b"{}")}
    found = Documents(upstreams, OPERATIONS, DEFAULTS)
    for service in upstreams:
        await found._fetch(service, upstreams[service])
    assert found.by_service == {"users": {}}


def test_a_document_that_can_be_used_is_kept_as_it_is() -> None:
    assert documents.usable(b'{"paths": {"/v1/orders": {"get": {}}}}', "orders", OPERATIONS)["paths"]


async def test_only_another_document_is_merged_anew() -> None:
    """The version, by which the description of the whole API is cached, stays while services send the same."""
    upstreams: Any = {"orders": Upstream(b'{"paths": {}}')}
    found = Documents(upstreams, list(OPERATIONS), DEFAULTS)
    versions = []
    for body in (b'{"paths": {}}', b'{"paths": {}}', b"{}"):
        await found._fetch("orders", Upstream(body))  # type: ignore[arg-type]
        versions.append(found.version)
    assert versions[0] == versions[1] < versions[2]
    assert found.by_service == {"orders": {}}
