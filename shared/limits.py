"""Bounds that the gateway and a service must agree on."""

MAX_PICTURE_BYTES = 10 * 1024 * 1024
"""The largest body with a picture: a phone's photo of 20 megapixels has 5 to 8 MB."""

IDLE_S = 1.0
"""A connection to a service that was idle for longer is not used again: less than a service that ends still listens
(`*_DRAIN_S`), so that no request is on its way to a connection that is just being closed."""
