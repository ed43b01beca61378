"""The tables of the users database. A feature slice has its tables in its own `models.py`."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.contracts.internal_api import Purpose
from shared.db.engine import TYPES
from shared.db.personal_data import Cascade, Delete, Execute, Kept, NotExported, Part, PersonalData
from shared.http.api_keys import KeyScope
from shared.http.tokens import Role
from shared.outbox.outbox import outbox_table


class Base(DeclarativeBase):
    type_annotation_map = TYPES


class User(PersonalData, Base):
    """`revision` counts the changes to a user, beginning with 1. A user who signs in with an identity provider may have
    no password.

    `pending_email` is a new address that has not been confirmed. An account whose address is not verified is deleted at
    `expires_at`.
    """

    __tablename__ = "users"
    __of_user__ = "id = $1"
    __export__ = Part(
        "profile",
        "id, email, email_verified, pending_email, name, role, avatar_url, created_at, updated_at",
        many=False,
    )
    __erasure__ = Delete()
    __table_args__ = (
        sa.Index("users_email_key", sa.text("lower(email)"), unique=True),
        sa.Index(
            "users_email_beginning",
            sa.func.lower(sa.literal_column("email")).label("address"),
            postgresql_ops={"address": "text_pattern_ops"},
        ),
        sa.Index("users_expiring", "expires_at", postgresql_where=sa.text("expires_at IS NOT NULL")),
        sa.CheckConstraint("role IN ('user', 'support', 'admin')", name="users_role_check"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    role: Mapped[Role] = mapped_column(sa.Text)
    avatar_url: Mapped[str | None]
    revision: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    email_verified: Mapped[bool] = mapped_column(server_default=sa.true())
    pending_email: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    suspended_at: Mapped[datetime | None]

    @property
    def has_password(self) -> bool:
        return self.password_hash is not None


class LoginSession(PersonalData, Base):
    """One sign-in of a user: the chain of refresh tokens that began with it. Deleting it revokes them all.

    `device`, `address` and `last_seen_at` are those of the last sign-in or refresh; a session from before they were
    stored has none until it is refreshed. `proved_at` is when an identity provider last made sure who the user is.
    """

    __tablename__ = "sessions"
    __export__ = Part("sessions", "id, device, address, created_at, last_seen_at, expires_at")
    __erasure__ = Cascade()

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    device: Mapped[str | None]
    address: Mapped[str | None]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    proved_at: Mapped[datetime | None]


class RefreshToken(PersonalData, Base):
    """An issued refresh token, by its SHA-256; used ones are kept to detect reuse.

    `nonce`: the value from which the successor of a used token is derived, together with the token itself.
    """

    __tablename__ = "refresh_tokens"
    __export__ = NotExported("hashes of tokens, which would only help an attacker")
    __erasure__ = Cascade()
    __table_args__ = (
        sa.ForeignKeyConstraint(["user_id", "session_id"], ["sessions.user_id", "sessions.id"], ondelete="CASCADE"),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    nonce: Mapped[bytes | None]


class ApiKey(PersonalData, Base):
    """A key with which programs call the API for its owner, by its SHA-256. `prefix` is its beginning, for the owner's
    list."""

    __tablename__ = "api_keys"
    __export__ = Part("api_keys", "id, name, prefix, scopes, expires_at, created_at, last_used_at")
    __erasure__ = Cascade()
    __table_args__ = (sa.Index("api_keys_hash", "key_hash"),)

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    key_hash: Mapped[bytes]
    prefix: Mapped[str]
    name: Mapped[str]
    scopes: Mapped[list[KeyScope]] = mapped_column(sa.ARRAY(sa.Text))
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class Identity(PersonalData, Base):
    """A person at an OpenID provider, who is a user here. The person is identified by `issuer` and `subject`.

    `provider` and `email` are those of the linking: for the owner's list.
    """

    __tablename__ = "identities"
    __export__ = Part("identities", "id, provider, issuer, subject, email, created_at, last_used_at")
    __erasure__ = Cascade()
    __table_args__ = (sa.Index("identities_issuer_subject", "issuer", "subject"),)

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[str]
    issuer: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str | None]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


FlowPurpose = Literal["sign_in", "link", "confirm", "password"]
"""What a sign-in with a provider is for. `password`: the person is known, and must enter the password of the account to
which the identity is to be linked."""


class IdentityFlow(PersonalData, Base):
    """A sign-in with a provider that is under way in one browser, by the SHA-256 of the secret in its cookie.

    `user_id` and `session_id` are of the signed-in user, if there is one; with the purpose `password`, `user_id` is the
    account, and `issuer`, `subject` and `email` are of the identity.
    """

    __tablename__ = "identity_flows"
    __export__ = NotExported("kept for the minutes of a sign-in")
    __erasure__ = Delete()
    __table_args__ = (sa.Index("identity_flows_user", "user_id"),)

    id: Mapped[bytes] = mapped_column(primary_key=True)
    purpose: Mapped[FlowPurpose] = mapped_column(sa.Text)
    provider: Mapped[str]
    user_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    email: Mapped[str | None]
    expires_at: Mapped[datetime]


class MailToken(PersonalData, Base):
    """The token of a link that was mailed, by its SHA-256. `email` is the recipient, which the link is about."""

    __tablename__ = "mail_tokens"
    __export__ = NotExported("hashes of tokens, which would only help an attacker")
    __erasure__ = Cascade()

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    purpose: Mapped[Purpose] = mapped_column(sa.Text)
    email: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class MailRequest(Base):
    """How many mails for a purpose were requested to an address, in a window that began then. It belongs to no account:
    several may name the address."""

    __tablename__ = "mail_requests"

    address_hash: Mapped[bytes] = mapped_column(primary_key=True)
    purpose: Mapped[Purpose] = mapped_column(sa.Text, primary_key=True)
    window_began_at: Mapped[datetime]
    requests: Mapped[int]
    paused_until: Mapped[datetime]


class ResetRequest(PersonalData, Base):
    """A requested reset of a password, until it is processed, whether or not the address has an account. `address` is
    that of the client."""

    __tablename__ = "reset_requests"
    __of_user__ = "lower(email) = (SELECT lower(email) FROM users WHERE id = $1)"
    __export__ = NotExported("kept for the seconds until it is processed")
    __erasure__ = Kept("deleted within seconds, when it is processed")

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    address: Mapped[str | None]
    request_id: Mapped[str | None]


class Revocation(PersonalData, Base):
    """An ended session, a deleted API key, or a deleted user (`ended_id` is then the user's id).

    `xact`: the transaction that ended it.
    """

    __tablename__ = "revocations"
    __export__ = NotExported("ids of ended sessions and keys, for the minutes until gateways forget them")
    __erasure__ = Kept("gateways must refuse the access tokens of a deleted user; they expire within minutes")
    __table_args__ = (sa.Index("revocations_xact", "xact"),)

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    ended_id: Mapped[UUID] = mapped_column(primary_key=True)
    ended_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    xact: Mapped[int] = mapped_column(sa.BigInteger, server_default=sa.text("(pg_current_xact_id()::text::bigint)"))


class AuditRow(PersonalData, Base):
    """An action of an actor, which may affect a user. Contains no personal data except ids and an address.

    `actor_id` is None for an anonymous request; `detail` then contains what is known about the caller.
    """

    __tablename__ = "audit"
    __of_user__ = "actor_id = $1 OR actor_id IS NULL AND subject_id = $1"
    __export__ = Part("audit", "id, action, detail, address, request_id, created_at")
    __erasure__ = (
        Execute("SET LOCAL audit.ending = 'on'", arguments=()),  # a trigger rejects other changes
        Execute(f"UPDATE audit SET address = NULL WHERE {__of_user__}"),  # noqa: S608  a constant
    )
    __table_args__ = (
        sa.Index("audit_actor", "actor_id", "id"),
        sa.Index("audit_subject", "subject_id", "id"),
        sa.Index("audit_action", "action", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    action: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_role: Mapped[str | None]
    subject_id: Mapped[UUID | None]
    detail: Mapped[str | None]
    address: Mapped[str | None]
    request_id: Mapped[str | None]
    created_at: Mapped[datetime]


class Outbox(PersonalData, Base):
    """Waiting events contain the user's name and address. Events that the relay is publishing are locked, and stay."""

    __table__ = outbox_table(Base.metadata)
    __export__ = NotExported("copies of the profile, until they are published")
    __erasure__ = Delete("id IN (SELECT id FROM outbox WHERE user_id = $1 FOR UPDATE SKIP LOCKED)")
