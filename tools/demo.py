"""The accounts of the demo data. For development only: their password is known to everybody."""

ADMIN = "admin@example.com"
USER = "demo@example.com"
PASSWORD = "dashboard-demo"  # noqa: S105  printed by `dashboard up`
