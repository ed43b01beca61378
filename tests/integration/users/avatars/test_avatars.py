"""Pictures of users at the service."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psutil
import pytest
from fastapi import FastAPI

from services.users.avatars import thumbnailer
from services.users.avatars.errors import TooManyPictures
from services.users.avatars.thumbnailer import Pictures
from shared.contracts.internal_api import MAX_PICTURE_BYTES
from shared.db.engine import Database
from shared.ids import new_id
from tests.support.backends.databases import NewDatabase
from tests.support.drawn import BLUE, RED, SCRIPT, bomb, opened, picture
from tests.support.held_body import HeldBody
from tests.support.patience import PATIENCE_S
from tests.support.users import PASSWORD, Gateway, Person, serving, settings_for
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def time_for_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy."""
    monkeypatch.setattr(Pictures, "TIMEOUT_S", PATIENCE_S)


async def put(gateway: Gateway, person: Person, content: bytes, kind: str = "image/png") -> httpx.Response:
    return await gateway.call(person, "PUT", "/v1/me/avatar", content=content, headers={"Content-Type": kind})


async def revisions(db: Database, person: Person) -> list[int]:
    query = (
        "SELECT (payload->>'revision')::int AS r FROM outbox WHERE user_id = $1 AND type = 'user.updated' ORDER BY r"
    )
    async with db.connection() as connection:
        return [row["r"] for row in await connection.fetch(query, person.id)]


async def test_a_picture_is_put_shown_and_deleted(gateway: Gateway, db: Database) -> None:
    """Profile and panel lead to it, others see it, each change is an event, and at the end nothing is left."""
    person, other = await gateway.register(), await gateway.register()
    profile = (await put(gateway, person, picture())).raise_for_status().json()
    url = profile["avatar_url"]
    assert url.startswith(f"/v1/users/{person.id}/avatar?v=")
    assert (await gateway.call(person, "GET", "/v1/me")).json() == profile
    panel = await gateway.http.post("/internal/panels/user", json={"ids": [str(person.id)]})
    assert panel.json()["items"][str(person.id)]["avatar_url"] == url
    for size in (64, 256):
        shown = await gateway.call(other, "GET", f"{url}&size={size}")
        assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/webp")
        assert opened(shown.content).size == (size, size)
    assert (await gateway.call(person, "DELETE", "/v1/me/avatar")).status_code == 204
    assert (await gateway.call(person, "GET", "/v1/me")).json()["avatar_url"] is None
    gone = await gateway.call(other, "GET", url)
    assert (gone.status_code, gone.json()["code"]) == (404, "avatar_not_found")
    assert await revisions(db, person) == [2, 3]


async def test_what_changes_nothing_is_no_event(gateway: Gateway, db: Database) -> None:
    """The same picture again, and deleting what is not there."""
    person = await gateway.register()
    assert (await gateway.call(person, "DELETE", "/v1/me/avatar")).status_code == 204
    urls = {(await put(gateway, person, picture())).json()["avatar_url"] for _ in range(2)}
    assert len(urls) == 1
    assert await revisions(db, person) == [2]


async def test_a_form_is_taken_as_well(gateway: Gateway) -> None:
    """As a browser sends it, in the field `file`."""
    person = await gateway.register()
    form = {"file": ("me.png", picture(), "image/png")}
    answer = await gateway.call(person, "PUT", "/v1/me/avatar", files=form)
    assert answer.json()["avatar_url"]
    for files in ({"other": form["file"]}, {"file": form["file"], "more": form["file"]}):
        refused = await gateway.call(person, "PUT", "/v1/me/avatar", files=files)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "file")


async def test_other_names_of_its_type(gateway: Gateway) -> None:
    """What counts is the content: clients call a JPEG by many names, or by none."""
    person = await gateway.register()
    for kind in ("image/jpg", "IMAGE/PJPEG; q=1", "application/octet-stream", ""):
        answer = await put(gateway, person, picture("JPEG"), kind)
        assert answer.status_code == 200, answer.text


async def test_how_long_it_may_be_kept(gateway: Gateway) -> None:
    """For ever under the address that changes with it; else only with a question, answered 304."""
    person = await gateway.register()
    old = (await put(gateway, person, picture(colour=RED))).json()["avatar_url"]
    new = (await put(gateway, person, picture(colour=BLUE))).json()["avatar_url"]
    assert old != new
    by_version = await gateway.call(person, "GET", new)
    assert by_version.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    for url in (old, f"/v1/users/{person.id}/avatar"):
        shown = await gateway.call(person, "GET", url)
        assert (shown.headers["Cache-Control"], shown.content) == ("private, no-cache", by_version.content)
    etag = by_version.headers["ETag"]
    for told in (etag, f'W/{etag}, "x"', "*"):
        again = await gateway.call(person, "GET", new, headers={"If-None-Match": told})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    larger = await gateway.call(person, "GET", f"{new}&size=256", headers={"If-None-Match": etag})
    assert larger.status_code == 200


@pytest.fixture(scope="module")
async def pictured(service: tuple[FastAPI, Gateway]) -> tuple[Person, str]:
    """Somebody with a picture, and its address."""
    gateway = service[1]
    person = await gateway.register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pictures, "TIMEOUT_S", PATIENCE_S)
        answer = await put(gateway, person, picture())
    return person, answer.raise_for_status().json()["avatar_url"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (SCRIPT, "image/png", 422),
        (bomb(), "image/png", 422),
        (picture()[:-40], "image/png", 422),
        (b"", "image/png", 422),
        (picture("GIF"), "image/webp", 422),
        (picture(), "text/plain", 415),
        (picture(), "image/svg+xml", 415),
        (b"x" * (MAX_PICTURE_BYTES + 1), "image/png", 413),
    ],
    ids=["script", "bomb", "cut off", "empty", "gif", "text", "svg", "too large"],
)
async def test_what_is_refused(
    gateway: Gateway, pictured: tuple[Person, str], content: bytes, kind: str, status: int
) -> None:
    """By a problem, and the picture from before stays."""
    person, before = pictured
    answer = await put(gateway, person, content, kind)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert (await gateway.call(person, "GET", "/v1/me")).json()["avatar_url"] == before


async def test_other_routes_keep_their_limit(gateway: Gateway) -> None:
    """Only the picture may be larger than a megabyte."""
    person = await gateway.register()
    answer = await gateway.call(person, "PATCH", "/v1/me", content=b"x" * 1_100_000)
    assert answer.status_code == 413


@pytest.mark.parametrize("size", ["0", "65", "x", "064", ""])
async def test_sizes_that_there_are_not(gateway: Gateway, size: str) -> None:
    """422, naming the parameter."""
    person = await gateway.register()
    answer = await gateway.call(person, "GET", f"/v1/users/{person.id}/avatar?size={size}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "size")


async def test_nobody_is_shown_to_those_without_identity(gateway: Gateway) -> None:
    """401; and who is not there has no picture, like who has none."""
    person = await gateway.register()
    assert (await gateway.http.get(f"/v1/users/{person.id}/avatar")).status_code == 401
    for user_id in (person.id, new_id()):
        assert (await gateway.call(person, "GET", f"/v1/users/{user_id}/avatar")).json()["code"] == "avatar_not_found"
    stranger = Person(new_id(), "nobody@example.com")
    assert (await put(gateway, stranger, picture())).status_code == 404


async def test_the_picture_goes_with_its_user(gateway: Gateway, db: Database) -> None:
    """Of a deleted user no bytes stay."""
    person, other = await gateway.register(), await gateway.register()
    url = (await put(gateway, person, picture())).json()["avatar_url"]
    assert (await gateway.call(person, "DELETE", "/v1/me", json={"current_password": PASSWORD})).status_code == 204
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM avatars WHERE user_id = $1", person.id) == 0
    assert (await gateway.call(other, "GET", url)).status_code == 404


@asynccontextmanager
async def few_places(new_database: NewDatabase) -> AsyncIterator[tuple[Pictures, Gateway]]:
    """One picture at a time, and one that waits."""
    settings = settings_for(new_database("users")).model_copy(update={"picture_processes": 1, "picture_queue": 1})
    async with serving(settings) as (app, gateway):
        yield app.state.pictures, gateway


async def test_more_pictures_than_places(new_database: NewDatabase) -> None:
    """One works, one waits, the third is asked to come back; a person has one in hand at most, and places come free."""
    async with few_places(new_database) as (places, gateway):
        first, second, third = [await gateway.register() for _ in range(3)]
        async with places.place(first.id):
            own = await put(gateway, first, picture())
            assert (own.status_code, own.headers["Retry-After"]) == (503, "2")
            async with places.place(second.id):
                refused = await put(gateway, third, picture())
                assert (refused.status_code, refused.json()["code"]) == (503, "too_many_pictures")
            assert (await put(gateway, third, picture())).status_code == 200
        assert (await put(gateway, first, picture())).status_code == 200


async def test_slow_pictures_keep_nobody_from_theirs(new_database: NewDatabase) -> None:
    """One that its client keeps waiting makes room for somebody who has none."""
    async with few_places(new_database) as (_, gateway):
        people = [await gateway.register() for _ in range(3)]
        content, kind = picture(), {"Content-Type": "image/png"}
        slow = []
        for person in people[:2]:
            body = HeldBody(content[:9], content[9:])
            slow.append(
                (body, await body.under_way(gateway.call(person, "PUT", "/v1/me/avatar", content=body, headers=kind)))
            )

        async def is_taken() -> bool:
            return (await put(gateway, people[2], content)).status_code == 200

        await eventually(is_taken)
        for body, _ in slow:
            body.go_on.set()
        answers = await asyncio.gather(*(answer for _, answer in slow))
        assert sorted(answer.status_code for answer in answers) == [200, 503]


def doing(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import os, sys, time; sys.stdin.buffer.read(); {program}")


async def test_a_decoder_that_dies(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs its own picture alone."""
    person = await gateway.register()
    with monkeypatch.context() as broken:
        broken.setattr(thumbnailer, "PROGRAM", doing("os.kill(os.getpid(), 9)"))
        assert (await put(gateway, person, picture())).status_code == 422
    assert (await put(gateway, person, picture())).status_code == 200


async def test_a_decoder_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is killed when the time is up, or when nobody waits for it any more."""
    monkeypatch.setattr(thumbnailer, "PROGRAM", doing("time.sleep(98765)"))
    monkeypatch.setattr(Pictures, "TIMEOUT_S", 0.5)
    with pytest.raises(TooManyPictures):
        await Pictures(processes=2, queue=16).thumbnails(picture())
    assert not hanging()
    monkeypatch.setattr(Pictures, "TIMEOUT_S", PATIENCE_S)
    given_up = asyncio.create_task(Pictures(processes=2, queue=16).thumbnails(picture()))
    await eventually(hanging)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert not hanging()


def hanging() -> bool:
    return any("98765" in " ".join(child.cmdline()) for child in psutil.Process().children())
