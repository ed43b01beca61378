"""Alembic's entry point for the migrations of the users database."""

from services.users.models import User
from shared.db.migrations import run_migrations

run_migrations(User.metadata)
