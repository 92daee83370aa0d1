"""Medians, percentiles, ratios. Pure."""

import math
import statistics


def percentile(values, share):
    """The smallest of them that at least `share` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratio(values, base):
    """The median over the rounds; each round is held against what the base had in the same round."""
    if len(values) != len(base):
        raise ValueError("%d rounds against %d" % (len(values), len(base)))
    return statistics.median(a / b for a, b in zip(values, base))


def spread(values):
    """Half the distance between the quartiles, as a share of the median: how much rounds differ."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / statistics.median(values)
