"""Bounds that the gateway and a service must agree on."""

MAX_PICTURE_BYTES = 10 * 1024 * 1024
"""The largest body with a picture: a phone's photo of 20 megapixels has 5 to 8 MB."""
