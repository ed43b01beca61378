from services.orders import models
from shared.migrations import run_migrations

run_migrations(models.Order.metadata)
