"""Retries: capped, jittered, bounded."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.wire.backoff import Backoff, RetryPolicy


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_waits_grow_within_their_caps_and_end(seed, attempts):
    policy = RetryPolicy(attempts=attempts, first_seconds=0.1, factor=2, longest_seconds=1, deadline_seconds=1e9)
    backoff = Backoff(policy, Random(seed), started=0)
    waits = []
    while (wait := backoff.delay(now=0)) is not None:
        waits.append(wait)
    assert len(waits) == attempts - 1
    for number, wait in enumerate(waits):
        cap = min(0.1 * 2**number, 1)
        assert cap / 2 <= wait <= cap


def test_no_attempt_starts_behind_the_deadline():
    backoff = Backoff(RetryPolicy(deadline_seconds=10), Random(0), started=100)
    assert backoff.delay(now=101) is not None
    assert backoff.delay(now=110) is None


def test_the_default_gives_up_within_half_a_minute():
    policy = RetryPolicy()
    backoff, now = Backoff(policy, Random(1), started=0), 0.0
    while (wait := backoff.delay(now)) is not None:
        now += wait
    assert 2 < now < policy.deadline_seconds
    assert backoff.failed == policy.attempts
