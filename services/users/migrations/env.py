"""Alembic's entry point for the migrations of the users database."""

from shared.db.migrations import metadata_of, run_migrations

run_migrations(metadata_of("services.users"))
