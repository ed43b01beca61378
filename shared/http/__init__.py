"""HTTP endpoints that several services have."""
