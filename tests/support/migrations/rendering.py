"""The SQL of a migration, rendered without a database."""

import importlib.util
import io
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from alembic.migration import MigrationContext
from alembic.operations import Operations

ROOT = Path(__file__).parents[3]
SERVICES = ("users", "orders", "worker")


@dataclass(frozen=True)
class Revision:
    """`contract` says why earlier code can run without the objects that the revision removes; None if it only adds."""

    service: str
    id: str
    previous: str | None
    statements: tuple[str, ...]
    contract: str | None

    def __str__(self) -> str:
        return f"{self.service} {self.id}"


def revisions(service: str) -> list[Revision]:
    """Return the revisions in their order."""
    files = sorted((ROOT / "services" / service / "migrations/versions").glob("[0-9]*.py"))
    return [_revision(service, _loaded(path)) for path in files]


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _revision(service: str, module: ModuleType) -> Revision:
    told = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": told, "literal_binds": True}
    )
    with Operations.context(context):
        module.upgrade()
    contract = getattr(module, "contract", None)
    return Revision(service, module.revision, module.down_revision, split(told.getvalue()), contract)


def split(sql: str) -> tuple[str, ...]:
    """Return the statements, each on one line; function bodies are kept together."""
    pieces = re.split(r"(\$\$.*?\$\$)", sql, flags=re.DOTALL)
    marked = "".join(piece.replace(";", "\0") if number % 2 else piece for number, piece in enumerate(pieces))
    flat = (re.sub(r"\s+", " ", statement).replace("\0", ";").strip() for statement in marked.split(";"))
    return tuple(statement for statement in flat if statement)
