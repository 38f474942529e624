"""The lease clock: it is monotonic between synchronizations, and reports a step of its reference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tilebox.server.orchestration.lease_clock import STEP_US, LeaseClock


class Sources:
    """A reference clock that can be set, and a monotonic clock."""

    def __init__(self):
        self.reference_us, self.elapsed_ns = 1_790_000_000_000_000, 5_000_000_000
        self.clock = LeaseClock(lambda: self.reference_us, lambda: self.elapsed_ns)

    def advance(self, microseconds, drift_us=0):
        self.elapsed_ns += microseconds * 1000
        self.reference_us += microseconds + drift_us


def test_it_starts_at_the_reference_and_advances():
    sources = Sources()
    start = sources.clock.now_us()
    assert start == sources.reference_us
    sources.advance(1_234)
    assert sources.clock.now_us() == start + 1_234


def test_a_step_of_the_reference_takes_effect_at_the_next_synchronization():
    sources = Sources()
    for step_us in (3_600_000_000, -3_600_000_000):
        before = sources.clock.now_us()
        sources.advance(10, drift_us=step_us)
        assert sources.clock.now_us() == before + 10
        assert sources.clock.synchronize(None)
        assert sources.clock.now_us() == sources.reference_us
        assert not sources.clock.synchronize(None)


def test_drift_within_the_limit_is_not_a_step():
    sources = Sources()
    for drift_us in (STEP_US, -2 * STEP_US):
        before = sources.clock.now_us()
        sources.advance(10, drift_us=drift_us)
        assert not sources.clock.synchronize(None)
        assert sources.clock.now_us() == before + 10
    sources.advance(0, drift_us=-1)
    assert sources.clock.synchronize(None)


def test_accumulated_drift_is_corrected():
    sources = Sources()
    steps = 0
    for _ in range(100):
        sources.advance(1_000_000, drift_us=50_000)
        steps += sources.clock.synchronize(None)
        assert abs(sources.clock.now_us() - sources.reference_us) <= STEP_US
    assert steps == 4


def test_the_clock_of_the_database_takes_precedence_over_the_system_clock():
    sources = Sources()
    database_us = sources.reference_us + 90_000_000
    assert sources.clock.synchronize(database_us)
    assert sources.clock.now_us() == database_us
    # A step of the system clock has no effect now.
    sources.advance(1_000_000, drift_us=-3_600_000_000)
    assert not sources.clock.synchronize(database_us + 1_000_000)
    assert sources.clock.now_us() == database_us + 1_000_000


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(-(10**9), 10**9))))
def test_it_is_monotonic_between_synchronizations(intervals):
    sources = Sources()
    for microseconds, drift_us in intervals:
        before = sources.clock.now_us()
        sources.advance(microseconds, drift_us)
        assert sources.clock.now_us() == before + microseconds


def test_the_system_clock():
    clock = LeaseClock()
    first = clock.now_us()
    assert 0 <= clock.now_us() - first < 60_000_000
    assert not clock.synchronize(None)
