from services.orders import models
from shared.db.migrations import run_migrations

run_migrations(models.Order.metadata)
