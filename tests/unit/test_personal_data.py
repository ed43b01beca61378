"""Every table with rows about a person declares what is exported of them, and how they are erased."""

import re
import subprocess
import sys
from importlib import import_module
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db.migrations import metadata_of
from shared.db.personal_data import Cascade, Delete, Execute, NotExported, PersonalData, erasure_of, models_of

SERVICES = ("users", "orders", "worker")
PERSON = re.compile(r"(user|actor|subject|owner|person|customer|recipient)(_id)?|email")
"""The names of columns that contain or refer to a person."""
DELETED = re.compile(r"DELETE FROM (\w+)\b")
LOADED = """
from importlib import import_module
main = import_module("services.{service}.main")
for name in getattr(main, "FEATURES", ()):
    import_module(f"services.{service}.{{name}}.feature")
print(*import_module("services.{service}.models").Base.metadata.tables)
"""


def base_of(service: str) -> type[DeclarativeBase]:
    """Return the base of all models of the service, which are imported."""
    metadata_of(f"services.{service}")
    base: type[DeclarativeBase] = import_module(f"services.{service}.models").Base
    return base


def undeclared(base: type[DeclarativeBase]) -> list[str]:
    """Return the tables about persons whose model declares nothing, or only one of the two."""
    declared = [model.__table__ for model in models_of(base) if {"__export__", "__erasure__"} <= names_of(model)]
    about = [table for table in base.metadata.tables.values() if any(map(PERSON.fullmatch, table.columns.keys()))]
    return [table.name for table in about if table not in declared]


def names_of(model: type) -> set[str]:
    return {name for each in model.__mro__ for name in vars(each)}


def not_cascaded(base: type[DeclarativeBase]) -> list[str]:
    """Return the tables that declare `Cascade` and reference no table whose rows are deleted."""
    models = models_of(base)
    run = (sql for sql, _ in erasure_of(base, user_id=None, revision=None, jobs=None))
    deleted = {found[1] for found in map(DELETED.match, run) if found}
    deleted |= {str(model.__table__) for model in models if isinstance(model.__erasure__, Cascade)}
    return [
        str(model.__table__)
        for model in models
        if isinstance(model.__erasure__, Cascade)
        and not any(
            key.ondelete == "CASCADE" and key.referred_table.name in deleted
            for key in sa.inspect(model).local_table.foreign_key_constraints
        )
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_every_table_about_a_person_is_declared(service: str) -> None:
    assert undeclared(base_of(service)) == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_foreign_key_deletes_what_is_declared_to_be_deleted_by_one(service: str) -> None:
    assert not_cascaded(base_of(service)) == []


@pytest.mark.full
@pytest.mark.parametrize("service", SERVICES)
def test_a_running_service_knows_all_of_its_models(service: str) -> None:
    """Its main module and the features of its slices import every module of models: otherwise rows would stay."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(service=service)], check=True, capture_output=True, text=True
    )
    assert sorted(done.stdout.split()) == sorted(base_of(service).metadata.tables)


class Base(DeclarativeBase):
    pass


class Silent(Base):
    """A table about a user whose model has no mixin."""

    __tablename__ = "silent"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)


class Half(PersonalData, Base):
    """A table about a user whose model does not say how its rows are erased."""

    __tablename__ = "half"
    __export__ = NotExported("a test")

    actor_id: Mapped[UUID] = mapped_column(primary_key=True)


class Whole(PersonalData, Base):
    __tablename__ = "whole"
    __export__ = NotExported("a test")
    __erasure__ = Delete()

    user_id: Mapped[UUID] = mapped_column(primary_key=True)


class Country(Base):
    """A table about no person."""

    __tablename__ = "countries"

    id: Mapped[UUID] = mapped_column(primary_key=True)


sa.Table("bare", Base.metadata, sa.Column("email", sa.Text))


def test_tables_without_a_declaration_are_named() -> None:
    """Models without the mixin or with only one of the two, and tables without a model."""
    assert set(Base.__subclasses__()) == {Silent, Half, Whole, Country}
    assert undeclared(Base) == ["silent", "half", "bare"]


class OtherBase(DeclarativeBase):
    pass


class Parent(PersonalData, OtherBase):
    __tablename__ = "parents"
    __export__ = NotExported("a test")
    __erasure__ = Execute("DELETE FROM parents WHERE user_id = $1")

    user_id: Mapped[UUID] = mapped_column(primary_key=True)


class Child(PersonalData, OtherBase):
    __tablename__ = "children"
    __export__ = NotExported("a test")
    __erasure__ = Cascade()

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Parent.user_id, ondelete="CASCADE"), primary_key=True)


class Orphan(PersonalData, OtherBase):
    """A table that declares a cascade and whose foreign key has none."""

    __tablename__ = "orphans"
    __export__ = NotExported("a test")
    __erasure__ = Cascade()

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Parent.user_id), primary_key=True)


def test_a_cascade_without_its_foreign_key_is_named() -> None:
    models: list[type[PersonalData]] = [Parent, Child, Orphan]
    assert models_of(OtherBase) == models
    assert not_cascaded(OtherBase) == ["orphans"]
