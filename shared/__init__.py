"""What the services have in common: contracts, wiring and defaults. Imports no service."""
