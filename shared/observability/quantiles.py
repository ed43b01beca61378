"""Quantiles of histograms."""

from collections.abc import Sequence
from itertools import pairwise


def quantile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float:
    """Return the value below which this share of the observations is.

    `counts` are cumulative, by upper bound; the last bound is infinity. The result is interpolated within its bucket,
    and is the last finite bound for values above that.
    """
    rank = share * counts[-1]
    steps = pairwise([(0.0, 0.0), *zip(bounds, counts, strict=True)])
    for (low, below), (high, up_to) in steps:
        if up_to >= rank and up_to > below:
            return low if high == float("inf") else low + (high - low) * (rank - below) / (up_to - below)
    return bounds[-2]
