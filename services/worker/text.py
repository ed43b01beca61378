"""Text from outside, made fit for Postgres."""


def storable(text: str, limit: int) -> str:
    """Without NUL and lone surrogates, which Postgres refuses, and no longer than `limit`."""
    return text[:limit].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
