"""What ./dev soak calculates."""

import os
import statistics
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "tests", "faults"))  # last: bench has modules of the same names

from growth import growth  # noqa: E402


def by_halves(samples):
    half = len(samples) // 2
    early, late = statistics.median(samples[:half]), statistics.median(samples[-half:])
    return 100 * (late - early) / early


@pytest.mark.parametrize("n", (8, 22, 40, 3300))
@pytest.mark.parametrize("whole", (1, 3, 10, 50))
def test_soak_01_even_growth_shows_as_much_as_by_halves(n, whole):
    samples = [100 + whole * i / n for i in range(n)]
    assert growth(samples)[2] >= by_halves(samples) - 1e-9
    assert growth(samples)[2] > whole / 3


def test_soak_02_what_grows_only_at_first_is_none():
    samples = [min(70 + i, 100) for i in range(200)]
    assert growth(samples) == (100, 100, 0)


def test_soak_03_what_grows_only_at_the_end_is_one():
    samples = [100] * 150 + [110] * 50
    assert growth(samples) == (100, 110, 10)


def test_soak_04_an_outlier_is_none():
    samples = [100] * 200
    samples[60] = samples[190] = 1000
    assert growth(samples)[2] == 0


@pytest.mark.parametrize("n", (1, 2, 3, 4, 5))
def test_soak_05_few_samples(n):
    assert growth([100] * n) == (100, 100, 0)
