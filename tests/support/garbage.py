"""The garbage collector in tests."""

import gc


def collect() -> None:
    """Collect what is in cycles now. What is alive is not looked at again: with all modules and tests that takes more
    than a second each time."""
    gc.collect()
    gc.freeze()
