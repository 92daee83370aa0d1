"""How much something grew, from samples at even intervals. Pure: soak.py and its test call it."""

import statistics

PARTS = 4


def growth(samples):
    """(median of the second quarter, median of the last, per cent between them).

    The first quarter is left out of the difference: in it threads still meet each kind of request for the first time. The
    two that are compared lie half the time apart, as two halves do, and the per cent are of the first quarter's median,
    so that what grows evenly shows as much as by halves or more."""
    n = max(1, len(samples) // PARTS)
    first = statistics.median(samples[:n])
    early = statistics.median(samples[n:2 * n] or samples)
    late = statistics.median(samples[-n:])
    return early, late, 100 * (late - early) / first
