"""Delays between attempts: they grow, spread out, and end at the cap."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.tasks.retries import Retry

policies = st.builds(
    Retry,
    delay_seconds=st.floats(0, 1e6),
    factor=st.floats(1, 1e3),
    jitter=st.floats(0, 1),
    cap_seconds=st.floats(0, 1e6),
)


@given(policies, st.integers(1, 10**6), st.integers())
def test_no_delay_is_negative_or_above_the_cap(policy, failed, seed):
    assert 0 <= policy.delay(failed, Random(seed)) <= policy.cap_seconds


def test_without_a_delay_the_next_attempt_is_at_once():
    assert Retry().delay(5, Random(0)) == 0


def test_delays_grow_by_the_factor():
    policy = Retry(delay_seconds=2, factor=3, jitter=0)
    assert [policy.delay(failed, Random(0)) for failed in (1, 2, 3)] == [2, 6, 18]


def test_jitter_stays_within_its_share():
    policy = Retry(delay_seconds=10, jitter=0.2)
    delays = [policy.delay(1, Random(seed)) for seed in range(500)]
    assert 8 <= min(delays) < 8.5
    assert 11.5 < max(delays) <= 12


@pytest.mark.parametrize("failed", [1, 4, 30])
def test_a_thousand_tasks_that_fail_together_do_not_come_back_together(failed):
    policy = Retry(delay_seconds=60, factor=4)
    random = Random(1)
    slots = [0] * 20
    delays = [policy.delay(failed, random) for _ in range(1000)]
    low, high = min(delays), max(delays)
    assert high - low > 0.15 * high
    for delay in delays:
        slots[min(int((delay - low) / (high - low) * 20), 19)] += 1
    assert max(slots) < 100  # of 1000, where 50 would be even


def test_a_factor_that_overflows_ends_at_the_cap():
    assert Retry(delay_seconds=1, factor=1e300, jitter=0).delay(10**6, Random(0)) == 3600


@pytest.mark.parametrize(
    "arguments",
    [{"delay_seconds": -1}, {"factor": 0.5}, {"jitter": 1.5}, {"cap_seconds": float("inf")}, {"factor": float("nan")}],
)
def test_numbers_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Retry(**arguments)


@pytest.mark.parametrize("value", ["5", None, True])
def test_only_numbers_are_accepted(value):
    with pytest.raises(TypeError, match="delay_seconds must be a number"):
        Retry(delay_seconds=value)
