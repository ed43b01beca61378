"""Each service's responses to raw requests, valid and invalid, without the gateway."""

from fastapi import FastAPI

from shared.contracts.panels import PATH
from shared.http.identity import GATEWAY
from shared.http.tokens import ServiceTokens
from shared.ids import new_id
from shared.server.serve import Server
from tests.support.gateway.both_ways import Counted
from tests.support.gateway.declared import PANELS
from tests.support.http_corpus import Case, few, pipelines, singles
from tests.support.http_sockets import how_often, wrong
from tests.support.served import listening, port_of, served
from tests.support.services.description import Service
from tests.support.services.every import each_in_full


@how_often
@each_in_full
async def test_every_request_has_one_answer(app: FastAPI, random_cuts: int) -> None:
    """The responses are in order, and the connection closes where it must."""
    async with listening(app) as port:
        assert await wrong(port, [*singles(), *pipelines()[::61]], random_cuts) == []


@how_often
@each_in_full
async def test_every_panel_query_has_one_answer(app: FastAPI, service: Service, random_cuts: int) -> None:
    """The same for requests that the protocol answers: queries, and all others to their target."""
    secret = app.state.settings.internal_token_secret.get_secret_value()
    fields = b"Authorization: Bearer %s\r\n" % ServiceTokens(secret, GATEWAY).token().encode()
    panel = next(panel.name for panel in PANELS if panel.service == str(service))
    body = b'{"panels":["%s"],"ids":["%s"]}' % (panel.encode(), str(new_id()).encode())
    head = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (PATH.encode(), fields, len(body))
    query = Case("query", head + body, (200,))
    odd = [at_panels(case, fields) for case in singles() if b"/livez?" not in case.raw.partition(b"\r\n")[0]]
    mixed = [each for case in few() for each in (query.then(case), at_panels(case, fields).then(query))]
    Counted.taken.clear()
    async with served(app, Server, Counted) as server:
        assert await wrong(port_of(server), [query, query.then(query), *odd, *mixed], random_cuts) == []
    assert Counted.taken["later"] > 10 * (random_cuts + 1)


def at_panels(case: Case, fields: bytes) -> Case:
    """Return the case with the panels of a service as its target, where only POST is allowed and its bodies are not
    queries."""
    statuses = {405: 422} if case.raw.startswith(b"POST") else {200: 405}
    return case.aimed(PATH.encode(), fields, statuses)
