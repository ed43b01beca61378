"""What the gateway and the services agree on for `POST /v1/me/export`."""

PATH = "/internal/export"
"""Where a service gives out all that it keeps of the caller, as one JSON object."""
