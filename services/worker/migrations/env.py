from services.worker.models import Base
from shared.db.migrations import run_migrations

run_migrations(Base.metadata)
