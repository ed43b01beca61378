"""Code that the services share: contracts, infrastructure and defaults. Imports no service."""
