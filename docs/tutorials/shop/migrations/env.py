from shared.db.migrations import run_migrations
from shop.database import Base

run_migrations(Base.metadata)
