"""Unsubscribing from a mail's kind by its link, without signing in."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.worker.email.kinds import KINDS
from services.worker.email.unsubscribe import UnsubscribeLinks
from tests.support.backends.smtp import SmtpServer
from tests.support.worker.world import World, as_user, created, deletion

PAGE = "http://127.0.0.1:8000"
FORM = {"List-Unsubscribe": "One-Click"}
BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


def path_of(world: World, user_id: UUID, kind: str = "order_confirmation") -> str:
    links: UnsubscribeLinks = world.app.state.unsubscribe_links
    return links.url(user_id, KINDS[kind]).removeprefix(PAGE)


async def off(world: World, user_id: UUID) -> list[str]:
    """The kinds that the user has switched off."""
    answer = await world.http.get("/v1/me/notification-settings", headers=as_user(user_id))
    return [kind for kind, channels in answer.json()["kinds"].items() if not channels["mail"]]


async def test_the_link_of_a_mail(world: World, post_office: SmtpServer) -> None:
    """One click switches its kind off, for this user alone; so the next such mail is suppressed."""
    user_id, other = await world.known(), await world.known()
    [event_id] = await world.publish(created(user_id))
    await world.until(event_id, email="done")
    [mail] = [each for each in post_office.messages if each.recipients == (f"{user_id.hex}@example.com",)]
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    found = re.fullmatch(rf"<{re.escape(PAGE)}(/v1/unsubscribe/[\w-]+)>", mail.message["List-Unsubscribe"])
    assert found
    text, html = mail.message.iter_parts()
    assert PAGE + found[1] in text.get_content()
    assert PAGE + found[1] in html.get_content()
    for _ in range(2):  # a second click changes nothing
        answer = await world.http.post(found[1], data=FORM)
        assert (answer.status_code, answer.content) == (204, b"")
        assert await off(world, user_id) == ["order_confirmation"]
    assert await off(world, other) == []
    [unwanted, wanted] = await world.publish(created(user_id), created(other))
    await world.until(unwanted, email="suppressed")
    await world.until(wanted, email="done")


@pytest.mark.parametrize(
    "request_",
    [
        {"data": FORM},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b""},
        {},
        {"content": b"", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    ],
    ids=["form", "multipart", "empty", "no body", "empty form"],
)
async def test_forms_of_the_request(world: World, request_: dict[str, Any]) -> None:
    """The body of RFC 8058, in either encoding, or none."""
    user_id = uuid4()
    answer = await world.http.post(path_of(world, user_id), **request_)
    assert answer.status_code == 204, answer.text
    assert await off(world, user_id) == ["order_confirmation"]


@pytest.mark.parametrize(
    ("form", "field"),
    [({"List-Unsubscribe": "Two-Clicks"}, "List-Unsubscribe"), ({**FORM, "kind": "security"}, "kind")],
)
async def test_another_form(world: World, form: dict[str, str], field: str) -> None:
    """It is 422 with the name of the field, and changes nothing."""
    user_id = uuid4()
    answer = await world.http.post(path_of(world, user_id), data=form)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert await off(world, user_id) == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_program_that_opens_links(world: World, method: str) -> None:
    """It changes nothing, however often it looks."""
    user_id = uuid4()
    for _ in range(3):
        answer = await world.http.request(method, path_of(world, user_id), headers=BROWSER)
        assert answer.status_code == 200
    assert await off(world, user_id) == []


async def test_a_person_who_opens_the_link(world: World) -> None:
    """They get a page with a button that posts to the same address, and then a page that says what it did."""
    user_id = uuid4()
    path = path_of(world, user_id)
    answer = await world.http.get(path, headers=BROWSER)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Unsubscribe from order confirmations?" in answer.text
    assert re.search(
        r'<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">', answer.text
    )
    done = await world.http.post(path, data=FORM, headers=BROWSER)
    assert (done.status_code, done.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "You are unsubscribed from order confirmations" in done.text
    for page in (answer, done):
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "script" not in page.text
        assert str(user_id) not in page.text
    assert await off(world, user_id) == ["order_confirmation"]


def _longer(key: str) -> str:
    return f"{key}A"


def _changed(key: str) -> str:
    return f"{'B' if key[0] == 'A' else 'A'}{key[1:]}"


@pytest.mark.parametrize("forge", [_longer, _changed, str.upper, lambda _: "nonsense", lambda key: key[22:]])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_forged_key(world: World, method: str, forge: Callable[[str], str]) -> None:
    """It is 404, for a browser as a page, and changes nothing."""
    user_id = uuid4()
    start, _, key = path_of(world, user_id).rpartition("/")
    path = f"{start}/{forge(key)}"
    answer = await world.http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unsubscribe_key_unknown")
    page = await world.http.request(method, path, headers=BROWSER)
    assert page.status_code == 404
    if method == "GET":
        assert "This link is not valid" in page.text
    assert await off(world, user_id) == []


async def test_a_key_is_no_key_of_another_kind(world: World) -> None:
    """The signature of one kind with the name of another is a forged key; each key switches off its own kind."""
    user_id = uuid4()
    start, _, key = path_of(world, user_id, "order_status").rpartition("/")
    other = path_of(world, user_id, "order_confirmation").rpartition("/")[2]
    mixed = await world.http.post(f"{start}/{key[:22]}{other[22:]}")
    assert mixed.status_code == 404
    assert (await world.http.post(f"{start}/{key}")).status_code == 204
    assert await off(world, user_id) == ["order_status"]


async def test_a_digest_can_be_ended_by_its_link(world: World) -> None:
    user_id = uuid4()
    await world.http.put("/v1/me/notification-settings", json={"weekly_digest": True}, headers=as_user(user_id))
    assert (await world.http.post(path_of(world, user_id, "weekly_digest"))).status_code == 204
    answer = await world.http.get("/v1/me/notification-settings", headers=as_user(user_id))
    assert answer.json()["weekly_digest"] is False


async def test_a_kind_that_this_worker_does_not_know(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """During an update another worker may have sent the mail: its link works."""
    user_id = uuid4()
    path = path_of(world, user_id, "order_status")
    monkeypatch.delitem(KINDS, "order_status")
    assert "Unsubscribe from order_status?" in (await world.http.get(path)).text
    assert (await world.http.post(path)).status_code == 204
    monkeypatch.undo()
    assert await off(world, user_id) == ["order_status"]


async def test_a_link_of_a_deleted_user(world: World) -> None:
    """It answers as always, and stores nothing."""
    user_id = await world.known()
    [deleted] = await world.publish(deletion(user_id))
    await world.until(deleted, recipients="done")
    assert (await world.http.post(path_of(world, user_id))).status_code == 204
    assert await world.fetch("SELECT FROM notification_settings WHERE user_id = $1", user_id) == []


async def test_only_the_gateway_may_ask(world: World) -> None:
    """The route is anonymous for clients, which reach it through the gateway alone."""
    user_id = uuid4()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://worker") as stranger:
        for method in ("GET", "POST"):
            assert (await stranger.request(method, path_of(world, user_id))).status_code == 401
    assert await off(world, user_id) == []
