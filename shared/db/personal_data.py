"""Personal data: the model of a table declares what an export of a user's data contains of it, and what the deletion of
a user erases.

    class Note(PersonalData, Base):
        __tablename__ = "notes"
        __export__ = Part("notes", "id, text, created_at")
        __erasure__ = Delete()

`export_of` and `erasure_of` cover every model of a declarative base that has been imported.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import FromClause
from sqlalchemy.orm import DeclarativeBase


@dataclass(frozen=True, slots=True)
class Part:
    """One member of the export, called `name`. Each row becomes an object of `columns`, the list of a `SELECT`.

    `many`: a list of all rows in their order; otherwise the user's only row, or null.
    """

    name: str
    columns: str
    order_by: str = "id"
    many: bool = True


@dataclass(frozen=True, slots=True)
class NotExported:
    """The table is not in the export."""

    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes the user's rows; `where` is an additional condition."""

    where: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """Changes the user's rows; `assignments` is the `SET` of an `UPDATE`, and `where` is an additional condition."""

    assignments: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Execute:
    """Runs a statement of another kind; `arguments` are the names of its arguments among those of `erasure_of`."""

    sql: str
    arguments: Sequence[str] = ("user_id",)


@dataclass(frozen=True, slots=True)
class Cascade:
    """Runs nothing: a foreign key deletes the rows with those that they reference."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows stay as they are."""

    reason: str


class PersonalData:
    """A mixin for models of tables with rows about a user. `__of_user__` is the condition for those of user `$1`."""

    __table__: ClassVar[FromClause]
    __of_user__: ClassVar[str] = "user_id = $1"
    __export__: ClassVar[Part | NotExported]
    __erasure__: ClassVar[Delete | Update | Execute | tuple[Execute, ...] | Cascade | Kept]


def models_of(base: type[DeclarativeBase]) -> list[type[PersonalData]]:
    """Return the models with personal data: those of the service, then those of its slices by name, in the order of
    their definition. The order of imports does not matter."""
    models = [model for model in base.__subclasses__() if issubclass(model, PersonalData)]
    return sorted(models, key=lambda model: model.__module__.split(".")[:-1])


def export_of(base: type[DeclarativeBase]) -> list[tuple[Part, str]]:
    """Return the parts of the export, each with its query, whose argument is the user's id."""
    parts = ((model, model.__export__) for model in models_of(base))
    return [(part, _query(model, part)) for model, part in parts if isinstance(part, Part)]


def _query(model: type[PersonalData], part: Part) -> str:
    order = f" ORDER BY {part.order_by}" if part.many else ""
    return f"SELECT {part.columns} FROM {model.__table__} WHERE {_where(model)}{order}"  # noqa: S608  constants


def erasure_of(base: type[DeclarativeBase], **values: object) -> Iterator[tuple[str, list[object]]]:
    """Yield the statements that erase a user's data, each with its arguments. All run in one transaction.

    `values`: `user_id`, and whatever else the service's statements name. Raises `KeyError` if one is missing.
    """
    for model in models_of(base):
        for statement in _statements(model):
            yield statement.sql, [values[name] for name in statement.arguments]


def _statements(model: type[PersonalData]) -> Sequence[Execute]:
    table = model.__table__
    match model.__erasure__:
        case Delete(where):
            return [Execute(f"DELETE FROM {table} WHERE {_where(model, where)}")]  # noqa: S608  constants
        case Update(assignments, where):
            return [Execute(f"UPDATE {table} SET {assignments} WHERE {_where(model, where)}")]  # noqa: S608  constants
        case Execute() as statement:
            return [statement]
        case tuple() as statements:
            return statements
        case Cascade() | Kept():
            return []


def _where(model: type[PersonalData], more: str = "") -> str:
    return f"({model.__of_user__}) AND ({more})" if more else model.__of_user__
