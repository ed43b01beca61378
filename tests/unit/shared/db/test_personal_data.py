"""What follows from the declarations of models: the parts of an export, and the statements of a deletion."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db.personal_data import (
    Cascade,
    Delete,
    Execute,
    Kept,
    NotExported,
    Part,
    PersonalData,
    Update,
    erasure_of,
    export_of,
    models_of,
)


class Base(DeclarativeBase):
    pass


class Message(PersonalData, Base):
    """Of a slice, and defined first."""

    __module__ = "app.mail.models"
    __tablename__ = "messages"
    __export__ = Part("messages", "id, sent_at", order_by="sent_at, id")
    __erasure__ = Update("address = NULL", where="address IS NOT NULL")

    id: Mapped[UUID] = mapped_column(primary_key=True)


class Attachment(PersonalData, Base):
    __module__ = "app.mail.models"
    __tablename__ = "attachments"
    __export__ = NotExported("in the messages")
    __erasure__ = Cascade()

    id: Mapped[UUID] = mapped_column(primary_key=True)


class Draft(PersonalData, Base):
    __module__ = "app.drafts.models"
    __tablename__ = "drafts"
    __export__ = Part("drafts", "id")
    __erasure__ = Delete("NOT locked")

    id: Mapped[UUID] = mapped_column(primary_key=True)


class Account(PersonalData, Base):
    __module__ = "app.models"
    __tablename__ = "accounts"
    __of_user__ = "id = $1 OR parent_id = $1"
    __export__ = Part("account", "id, name", many=False)
    __erasure__ = Delete()

    id: Mapped[UUID] = mapped_column(primary_key=True)


class Ledger(PersonalData, Base):
    __module__ = "app.models"
    __tablename__ = "ledger"
    __export__ = NotExported("totals")
    __erasure__ = Kept("totals")

    id: Mapped[UUID] = mapped_column(primary_key=True)


class Address(PersonalData, Base):
    __module__ = "app.models"
    __tablename__ = "addresses"
    __export__ = NotExported("in the account")
    __erasure__ = (
        Execute("SET LOCAL allowed = 'on'", arguments=()),
        Execute("INSERT INTO addresses VALUES ($1, $2)", arguments=("user_id", "revision")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)


class Country(Base):
    """Without personal data."""

    __module__ = "app.models"
    __tablename__ = "countries"

    id: Mapped[UUID] = mapped_column(primary_key=True)


def test_the_services_own_models_come_before_those_of_its_slices() -> None:
    """Slices follow by name, and the models of each module in their order, whatever was imported first."""
    ordered: list[type[PersonalData]] = [Account, Ledger, Address, Draft, Message, Attachment]
    assert models_of(Base) == ordered
    assert {Country, *ordered} == set(Base.__subclasses__())


def test_the_export_has_a_query_for_each_part() -> None:
    """A part of one row needs no order."""
    assert [(part.name, part.many, query) for part, query in export_of(Base)] == [
        ("account", False, "SELECT id, name FROM accounts WHERE id = $1 OR parent_id = $1"),
        ("drafts", True, "SELECT id FROM drafts WHERE user_id = $1 ORDER BY id"),
        ("messages", True, "SELECT id, sent_at FROM messages WHERE user_id = $1 ORDER BY sent_at, id"),
    ]


def test_a_deletion_runs_the_statements_of_every_model_with_the_arguments_that_they_name() -> None:
    """Rows that are kept, or deleted by a foreign key, need no statement."""
    user_id = uuid4()
    assert list(erasure_of(Base, user_id=user_id, revision=7)) == [
        ("DELETE FROM accounts WHERE id = $1 OR parent_id = $1", [user_id]),
        ("SET LOCAL allowed = 'on'", []),
        ("INSERT INTO addresses VALUES ($1, $2)", [user_id, 7]),
        ("DELETE FROM drafts WHERE (user_id = $1) AND (NOT locked)", [user_id]),
        ("UPDATE messages SET address = NULL WHERE (user_id = $1) AND (address IS NOT NULL)", [user_id]),
    ]


def test_a_deletion_without_an_argument_that_a_model_needs_fails() -> None:
    with pytest.raises(KeyError, match="revision"):
        list(erasure_of(Base, user_id=uuid4()))
