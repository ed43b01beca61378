"""Migrates the shop's database: `python -m shop.migrate`."""

from pathlib import Path

from shared.db.migrations import upgrade
from shop.settings import Settings

if __name__ == "__main__":
    upgrade(Path(__file__).parent / "migrations", Settings().database_url)
