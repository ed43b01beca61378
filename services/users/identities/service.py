"""Signing in with identity providers, and the identities that are linked to accounts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.accounts import mails
from services.users.accounts.service import RECENT, Accounts, register
from services.users.accounts.verification import mark_verified
from services.users.audit import repository as audit
from services.users.audit.repository import Actor
from services.users.errors import IdentityNotFound, LastSignInMethod, PageUnknown, UnmailableAddress
from services.users.identities import flows, repository
from services.users.identities.decisions import (
    TEMPORARY,
    Reason,
    SignInRefused,
    address_of,
    admission,
    is_fresh,
    name_of,
    proved_at,
)
from services.users.identities.flows import FlowSecret, is_same
from services.users.identities.provider import InvalidIdToken, Person, Provider, ProviderDown, ProviderRefused
from services.users.models import Identity, IdentityFlow, User
from services.users.passwords import Passwords
from services.users.repository import UserRepository
from services.users.schemas import TokenPair
from services.users.sessions import repository as sessions
from services.users.sessions.service import Logins
from shared.contracts.account_errors import (
    AccountSuspended,
    AlreadyLinked,
    IdentityProviderNotFound,
    IdentityProviderUnavailable,
    InvalidLink,
    RecentSignInRequired,
    TooManyIdentities,
    WrongPassword,
)
from shared.contracts.internal_api import FlowFinished, FlowRequest, FlowReturn, FlowStarted
from shared.db.engine import Database, clock
from shared.http.identity import Caller
from shared.ids import new_id
from shared.observability.logs import get_logger

log = get_logger(__name__)

MAX_PER_USER = 10
HOME, DOOR, ACCOUNT, LINK = "/", "/#/sign-in", "/#/account", "/#/link"
"""Places on the page."""
PATH = "/v1/identity-providers"


class Identities:
    """`page` is the address of the web page, to which providers return. `providers` are by name, in their order."""

    def __init__(
        self,
        db: Database,
        accounts: Accounts,
        logins: Logins,
        passwords: Passwords,
        providers: Mapping[str, Provider],
        page: str | None,
    ) -> None:
        self._db = db
        self._accounts = accounts
        self._logins = logins
        self._passwords = passwords
        self._providers = providers
        self._page = page

    @property
    def providers(self) -> list[Provider]:
        return list(self._providers.values())

    async def start(self, request: FlowRequest, caller: Caller | None) -> FlowStarted:
        """Begin a sign-in with a provider. To link an identity, the caller must confirm who they are.

        Raises `IdentityProviderNotFound`, `IdentityProviderUnavailable`, `PageUnknown`, `RecentSignInRequired`, and to
        link an identity `WrongPassword`, `UserNotFound`.
        """
        provider = self._provider(request.provider)
        if request.purpose != "sign_in" and (caller is None or caller.session_id is None):
            raise RecentSignInRequired
        if request.purpose == "link" and caller is not None:
            await self._accounts.confirm_owner(caller, request.current_password, or_recent_sign_in=True)
        secret = FlowSecret.new()
        redirect_uri = self._redirect_uri(provider)
        try:
            url = await provider.authorization_url(redirect_uri, secret, again=request.purpose == "confirm")
        except ProviderDown as down:
            log.warning("identity provider is down", provider=request.provider, reason=str(down))
            raise IdentityProviderUnavailable from down
        async with self._db.begin() as session:
            flows.begin(session, secret, request.purpose, request.provider, caller)
        return FlowStarted(url, secret.text)

    async def finish(self, returned: FlowReturn, device: str | None) -> FlowFinished:
        """Finish the sign-in of a browser that has returned from a provider. A failure is recorded in the audit log;
        the place on the page has its reason."""
        flow: IdentityFlow | None = None
        try:
            provider = self._provider(returned.provider)
            secret = FlowSecret(returned.secret)
            if returned.state is None and returned.error is not None:
                raise SignInRefused("refused")  # some providers forget the state; what is under way goes on
            if not is_same(returned.state or "", secret.state):
                raise SignInRefused("expired")
            async with self._db.begin() as session:
                flow = await flows.take(session, secret, *flows.RETURNS)
            if flow is None or flow.provider != returned.provider:
                raise SignInRefused("expired")
            person = await self._identify(provider, returned, secret)
            async with self._db.begin() as session:
                return await self._admit(session, flow, person, secret, device)
        except (SignInRefused, IdentityProviderNotFound) as refused:
            reason = refused.reason if isinstance(refused, SignInRefused) else "expired"
            await self._record_failure(returned.provider, reason, flow)
            return FlowFinished(_place(ACCOUNT if flow and flow.user_id else DOOR, error=reason))

    async def account_of(self, secret: str, ticket: str) -> str:
        """Return the address of the account whose password a ticket needs. Raises `InvalidLink`."""
        return (await self._awaiting_password(FlowSecret(secret), ticket))[1].email

    async def link(self, secret: str, ticket: str, password: str, device: str | None) -> TokenPair:
        """Link the identity of a ticket to the account with this password, and sign in. A wrong password leaves the
        ticket valid.

        Raises `InvalidLink`, `WrongPassword`, `AccountSuspended`, `AlreadyLinked`, `TooManyIdentities`.
        """
        held = FlowSecret(secret)
        _, user = await self._awaiting_password(held, ticket)
        checked = await self._passwords.verify(password, user.password_hash, user.email)
        if not checked.valid:
            async with self._db.begin() as session:
                await audit.record(session, audit.SIGN_IN_FAILED, actor=None, subject=user.id, detail="identity link")
            raise WrongPassword.of("password", "is wrong")
        async with self._db.begin() as session:
            flow = await flows.take(session, held, "password")
            locked = await UserRepository(session).get(user.id, lock=True)
            if flow is None or locked is None or locked.password_hash != user.password_hash:
                raise InvalidLink
            if locked.suspended_at is not None:
                raise AccountSuspended
            person = Person(flow.issuer or "", flow.subject or "", flow.email)
            identity = await repository.claim(session, person.issuer, person.subject)
            if identity is not None and identity.user_id != locked.id:
                raise AlreadyLinked
            if identity is None:
                if await repository.count(session, locked.id) >= MAX_PER_USER:
                    raise TooManyIdentities(f"at most {MAX_PER_USER}; remove one first")
                await _add(session, locked, flow.provider, person)
            return await self._signed_in(session, locked, flow.provider, device, await clock(session))

    async def page(self, user_id: UUID, after: UUID | None, limit: int) -> Sequence[Identity]:
        """Return the identities of an account, newest first."""
        async with self._db.begin() as session:
            return await repository.page(session, user_id, after, limit)

    async def unlink(self, caller: Caller, identity_id: UUID) -> None:
        """Raises `IdentityNotFound`, and `LastSignInMethod` if the account could not be opened any more."""
        async with self._db.begin() as session:
            user = await UserRepository(session).get(caller.user_id, lock=True)
            deleted = await repository.delete(session, caller.user_id, identity_id) if user else None
            if user is None or deleted is None:
                raise IdentityNotFound
            if not user.has_password and not await repository.count(session, user.id):
                raise LastSignInMethod
            await mails.send_notice(session, user, "identity_unlinked")
            detail = f"id={identity_id} provider={deleted.provider}"
            await audit.record(
                session, audit.IDENTITY_UNLINKED, actor=user.id, role=caller.role, subject=user.id, detail=detail
            )

    def _provider(self, name: str) -> Provider:
        try:
            return self._providers[name]
        except KeyError:
            raise IdentityProviderNotFound from None

    def _redirect_uri(self, provider: Provider) -> str:
        if self._page is None:
            raise PageUnknown
        return f"{self._page}{PATH}/{provider.config.name}/callback"

    async def _identify(self, provider: Provider, returned: FlowReturn, secret: FlowSecret) -> Person:
        """Return who has signed in. Raises `SignInRefused`."""
        with _as_refusals(provider.config.name):
            if returned.error is not None:
                raise SignInRefused("unavailable" if returned.error in TEMPORARY else "refused")
            if not returned.code:
                raise SignInRefused("invalid")
            return await provider.identify(self._redirect_uri(provider), returned.code, secret, returned.iss)

    async def _admit(
        self, session: AsyncSession, flow: IdentityFlow, person: Person, secret: FlowSecret, device: str | None
    ) -> FlowFinished:
        identity = await repository.claim(session, person.issuer, person.subject)
        match flow.purpose:
            case "link":
                return await self._link_to_caller(session, flow, person, identity)
            case "confirm":
                return await self._confirm_caller(session, flow, person, identity)
        if identity is None:
            return await self._admit_stranger(session, flow.provider, person, secret, device)
        user = await UserRepository(session).get(identity.user_id, lock=True)
        if user is None:
            raise SignInRefused("expired")
        if user.suspended_at is not None:
            raise SignInRefused("suspended")
        await repository.use(session, identity)
        pair = await self._signed_in(session, user, flow.provider, device, proved_at(person, await clock(session)))
        return FlowFinished(HOME, refresh_token=pair.refresh_token)

    async def _admit_stranger(
        self, session: AsyncSession, provider: str, person: Person, secret: FlowSecret, device: str | None
    ) -> FlowFinished:
        email = address_of(person)
        try:
            self._accounts.refuse_unmailable(email)
        except UnmailableAddress:
            raise SignInRefused("address_missing") from None
        users = UserRepository(session)
        found = await users.claim(email)
        account = await users.get(found.id, lock=True) if found else None
        match admission(account):
            case "ask_password" if account:
                flows.ask_password(session, secret, provider, account.id, person.issuer, person.subject, email)
                title = self._providers[provider].config.title
                return FlowFinished(_place(LINK, ticket=secret.ticket, provider=title), link_secret=secret.text)
            case "take_over" if account:
                await mark_verified(session, account, Actor())
                await users.update(account, password_hash=None)
                user = account
            case _:
                name = name_of(person, email)
                user = await register(session, email=email, name=name, password_hash=None, email_verified=True)
        await _add(session, user, provider, person, is_new=True)
        pair = await self._signed_in(session, user, provider, device, proved_at(person, await clock(session)))
        return FlowFinished(HOME, refresh_token=pair.refresh_token)

    async def _link_to_caller(
        self, session: AsyncSession, flow: IdentityFlow, person: Person, identity: Identity | None
    ) -> FlowFinished:
        user = await _owner(session, flow)
        if identity is not None and identity.user_id != user.id:
            raise SignInRefused("already_linked")
        if identity is None:
            if await repository.count(session, user.id) >= MAX_PER_USER:
                raise SignInRefused("too_many_identities")
            await _add(session, user, flow.provider, person)
        return FlowFinished(_place(ACCOUNT, done="linked"))

    async def _confirm_caller(
        self, session: AsyncSession, flow: IdentityFlow, person: Person, identity: Identity | None
    ) -> FlowFinished:
        user = await _owner(session, flow)
        if identity is None or identity.user_id != user.id:
            raise SignInRefused("other_person")
        at = await clock(session)
        if not is_fresh(person, at, RECENT):
            raise SignInRefused("not_confirmed")
        if flow.session_id is None or not await sessions.prove(
            session, user.id, flow.session_id, proved_at(person, at)
        ):
            raise SignInRefused("expired")
        await repository.use(session, identity)
        await _record_sign_in(session, user, flow.provider, "confirmed")
        return FlowFinished(_place(ACCOUNT, done="confirmed"))

    async def _signed_in(
        self, session: AsyncSession, user: User, provider: str, device: str | None, proved: datetime
    ) -> TokenPair:
        pair = await self._logins.begin(session, user, device, proved)
        await _record_sign_in(session, user, provider)
        return pair

    async def _awaiting_password(self, secret: FlowSecret, ticket: str) -> tuple[IdentityFlow, User]:
        async with self._db.begin() as session:
            flow = await flows.find(session, secret) if is_same(ticket, secret.ticket) else None
            user = await UserRepository(session).get(flow.user_id) if flow and flow.user_id else None
        if flow is None or user is None:
            raise InvalidLink
        return flow, user

    async def _record_failure(self, provider: str, reason: Reason, flow: IdentityFlow | None) -> None:
        subject = flow.user_id if flow else None
        async with self._db.begin() as session:
            detail = f"provider={provider} reason={reason}"
            await audit.record(session, audit.SIGN_IN_FAILED, actor=None, subject=subject, detail=detail)


async def _owner(session: AsyncSession, flow: IdentityFlow) -> User:
    """Lock the user who began a sign-in, and return them if their session has not ended. Raises `SignInRefused`."""
    user = await UserRepository(session).get(flow.user_id, lock=True) if flow.user_id else None
    if user is None or not flow.session_id or not await sessions.is_open(session, user.id, flow.session_id):
        raise SignInRefused("expired")
    if user.suspended_at is not None:
        raise SignInRefused("suspended")
    return user


async def _add(session: AsyncSession, user: User, provider: str, person: Person, *, is_new: bool = False) -> None:
    """Link an identity to a locked user; `is_new`: who signs in with it for the first time needs no notice of that."""
    at = await clock(session)
    identity = Identity(
        user_id=user.id,
        id=new_id(),
        provider=provider,
        issuer=person.issuer,
        subject=person.subject,
        email=person.email,
        created_at=at,
        last_used_at=None,
    )
    session.add(identity)
    await session.flush()
    if not is_new:
        await mails.send_notice(session, user, "identity_linked")
    detail = f"id={identity.id} provider={provider}"
    await audit.record(session, audit.IDENTITY_LINKED, actor=user.id, role=user.role, subject=user.id, detail=detail)


async def _record_sign_in(session: AsyncSession, user: User, provider: str, detail: str = "") -> None:
    told = f"provider={provider} {detail}".strip()
    await audit.record(session, audit.OIDC_SIGN_IN, actor=user.id, role=user.role, subject=user.id, detail=told)


@contextmanager
def _as_refusals(provider: str) -> Iterator[None]:
    """Turn failures of a provider into reasons for the page."""
    try:
        yield
    except ProviderDown as down:
        log.warning("identity provider is down", provider=provider, reason=str(down))
        raise SignInRefused("unavailable") from down
    except ProviderRefused as refused:
        raise SignInRefused("expired") from refused
    except InvalidIdToken as invalid:
        raise SignInRefused("invalid") from invalid


def _place(where: str, **told: str) -> str:
    """Return a place on the page. Its parameters are in the fragment, so no request contains them."""
    return f"{where}?{urlencode(told)}"


async def _identities(request: Request) -> Identities:
    identities: Identities = request.app.state.identities
    return identities


IdentitiesDep = Annotated[Identities, Depends(_identities)]
"""The instance that the lifespan has created."""
