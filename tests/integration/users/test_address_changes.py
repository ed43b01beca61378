"""Changes of an account's address, which count once the new one is confirmed."""

import asyncio
from uuid import uuid4

import pytest

from services.users.accounts import mails
from shared.db.engine import Database
from tests.support.accounts import actions, let_pass, notices, profile, tasks
from tests.support.users import PASSWORD, Gateway, Person

RESEND = "/v1/email-verifications/resend"


def fresh() -> str:
    return f"{uuid4().hex}@example.com"


async def owner(gateway: Gateway) -> Person:
    """Return a signed-in person with a verified address."""
    return await gateway.verified(await gateway.newcomer())


async def change(gateway: Gateway, person: Person, email: str, **more: str) -> int:
    body = {"email": email, "current_password": PASSWORD, **more}
    return (await gateway.call(person, "PATCH", "/v1/me", json=body)).status_code


async def confirm(gateway: Gateway, person: Person, email: str) -> int:
    return (await gateway.use(await gateway.token(person, "change", email))).status_code


async def test_an_address_changes_when_the_new_one_is_confirmed(gateway: Gateway, db: Database) -> None:
    """Until then the old one signs in. The link goes to the new address, and the notice to the old one. Sessions go
    on."""
    person, email = await owner(gateway), fresh()
    assert await change(gateway, person, email) == 200
    shown = await profile(gateway, person)
    assert (shown["email"], shown["pending_email"], shown["email_verified"]) == (person.email, email, True)
    assert (await gateway.login(email)).status_code == 401
    assert await tasks(db, person) == [("address_verification", person.email), ("address_change", email)]
    assert await confirm(gateway, person, email) == 204
    shown = await profile(gateway, person)
    assert (shown["email"], shown["pending_email"], shown["email_verified"]) == (email, None, True)
    assert await notices(db, person) == [("email_changed", person.email, True)]
    assert (await gateway.login(person.email)).status_code == 401
    assert (await gateway.login(email)).status_code == 200
    assert (await gateway.refresh(person.refresh_token)).status_code == 200
    assert (await gateway.address(person)).json() == {"email": email, "verified": True}
    assert await actions(gateway, person) == [
        *("signed_in", "email_verified", "email_change_requested", "email_changed", "signed_in"),
    ]


async def test_the_first_of_two_accounts_that_confirms_an_address_has_it(gateway: Gateway) -> None:
    """The other is refused with a clear error, and keeps its own address."""
    email, one, other = fresh(), await owner(gateway), await owner(gateway)
    assert [await change(gateway, person, email) for person in (one, other)] == [200, 200]
    tokens = [await gateway.token(person, "change", email) for person in (one, other)]
    answers = await asyncio.gather(*map(gateway.use, tokens))
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "email_already_used"
    addresses = [(await profile(gateway, person))["email"] for person in (one, other)]
    assert addresses.count(email) == 1
    assert set(addresses) & {one.email, other.email}


async def test_an_account_that_verifies_first_keeps_its_address_from_one_that_changes_to_it(gateway: Gateway) -> None:
    """Although the other account claimed it before it was registered."""
    email, changing = fresh(), await owner(gateway)
    assert await change(gateway, changing, email) == 200
    token = await gateway.token(changing, "change", email)
    body = {"email": email, "name": "New", "password": PASSWORD}
    registered = (await gateway.http.post("/v1/users", json=body)).raise_for_status().json()
    new = Person(registered["id"], email)
    await gateway.verified(new)
    answer = await gateway.use(token)
    assert (answer.status_code, answer.json()["code"]) == (409, "email_already_used")
    assert (await profile(gateway, changing))["email"] == changing.email


async def test_an_account_that_never_verified_an_address_loses_it_to_one_that_does(
    gateway: Gateway, db: Database
) -> None:
    """It is deleted, as if it had expired: its link is not valid any more, and it cannot sign in."""
    squatter, person = await gateway.newcomer(), await owner(gateway)
    late = await gateway.token(squatter)
    assert await change(gateway, person, squatter.email.upper()) == 200
    assert await confirm(gateway, person, (await profile(gateway, person))["pending_email"]) == 204
    assert (await gateway.use(late)).json()["code"] == "invalid_link"
    assert (await gateway.refresh(squatter.refresh_token)).status_code == 401
    assert (await gateway.call(squatter, "GET", "/v1/me")).status_code == 404
    assert "account_replaced" in await actions(gateway, squatter)
    async with db.connection() as connection:
        find = "SELECT type FROM outbox WHERE user_id = $1"
        assert [row["type"] for row in await connection.fetch(find, squatter.id)] == ["user.deleted"]


async def test_only_the_latest_new_address_can_be_confirmed(gateway: Gateway) -> None:
    """A link to an earlier one is not valid any more, and the worker gets no new one for it."""
    person, first, second = await owner(gateway), fresh(), fresh()
    assert await change(gateway, person, first) == 200
    token = await gateway.token(person, "change", first)
    assert await change(gateway, person, second) == 200
    assert (await gateway.use(token)).status_code == 422
    assert (await gateway.link(person, "change", first)).status_code == 409
    assert await confirm(gateway, person, second) == 204


async def test_a_new_address_is_withdrawn_by_the_present_one_and_by_a_new_password(gateway: Gateway) -> None:
    """Whoever was in the account cannot confirm theirs after its owner has changed the password."""
    person = await owner(gateway)
    for withdrawal in ({"email": person.email}, {"password": "another horse", "current_password": PASSWORD}):
        email = fresh()
        assert await change(gateway, person, email) == 200
        token = await gateway.token(person, "change", email)
        (await gateway.call(person, "PATCH", "/v1/me", json=withdrawal)).raise_for_status()
        assert (await profile(gateway, person))["pending_email"] is None
        assert (await gateway.use(token)).status_code == 422
    assert (await profile(gateway, person))["email"] == person.email


async def test_a_password_and_an_address_change_together(gateway: Gateway, db: Database) -> None:
    """The address of the same request is not withdrawn. The notice of the password goes to the present address."""
    person, email = await owner(gateway), fresh()
    assert await change(gateway, person, email, password="another horse") == 200
    assert await notices(db, person) == [("password_changed", person.email, True)]
    assert await confirm(gateway, person, email) == 204


async def test_who_registered_with_a_typing_error_corrects_it(gateway: Gateway, db: Database) -> None:
    """Confirming the new address is then the first verification. Nothing is sent to the wrong one: its notice is
    marked as not to be sent."""
    person, email = await gateway.newcomer(), fresh()
    assert await change(gateway, person, email) == 200
    assert await confirm(gateway, person, email) == 204
    shown = await profile(gateway, person)
    assert (shown["email"], shown["email_verified"]) == (email, True)
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    assert await notices(db, person) == [("email_changed", person.email, False)]


async def test_the_first_verification_withdraws_a_new_address(gateway: Gateway) -> None:
    """The person who registered a stranger's address does not get the account by an address of their own."""
    attacker, theirs = await gateway.newcomer(), fresh()
    assert await change(gateway, attacker, theirs) == 200
    token = await gateway.token(attacker, "change", theirs)
    assert (await gateway.use(await gateway.token(attacker))).status_code == 204
    assert (await gateway.use(token)).status_code == 422


async def test_the_link_is_sent_again_to_the_new_address(gateway: Gateway, db: Database) -> None:
    person, email = await owner(gateway), fresh()
    assert await change(gateway, person, email) == 200
    assert (await gateway.call(person, "POST", RESEND)).status_code == 202
    assert await tasks(db, person) == [("address_verification", person.email), *[("address_change", email)] * 2]


async def test_a_stranger_gets_few_mails_from_changes_of_many_accounts(gateway: Gateway, db: Database) -> None:
    """Their number is counted by the new address, not by account. Beyond it, the change is 429 and nothing changes."""
    stranger, accounts = fresh(), [await owner(gateway) for _ in range(mails.MOST + 1)]
    codes = [await change(gateway, person, stranger) for person in accounts]
    assert codes == [*[200] * mails.MOST, 429]
    assert (await profile(gateway, accounts[-1]))["pending_email"] is None
    await let_pass(db, mails.WINDOW)
    assert await change(gateway, accounts[-1], stranger) == 200


@pytest.mark.parametrize("taken", [True, False])
async def test_an_address_that_is_verified_is_refused_at_once(gateway: Gateway, taken: bool) -> None:
    person, other = await owner(gateway), await gateway.register()
    if taken:
        await gateway.verified(other)
    assert await change(gateway, person, other.email) == (409 if taken else 200)
