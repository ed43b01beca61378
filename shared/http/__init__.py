"""HTTP endpoints that several services share."""
