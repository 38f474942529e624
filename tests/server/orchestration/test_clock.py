"""The time by which leases end: it never goes back, and tells when somebody set the clock it follows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tilebox.server.orchestration.lease_clock import STEP_US, Clock


class Sources:
    """A reference that can be set, and a count that nobody can set."""

    def __init__(self):
        self.reference_us, self.elapsed_ns = 1_790_000_000_000_000, 5_000_000_000
        self.clock = Clock(lambda: self.reference_us, lambda: self.elapsed_ns)

    def pass_by(self, microseconds, drift_us=0):
        self.elapsed_ns += microseconds * 1000
        self.reference_us += microseconds + drift_us


def test_it_starts_at_the_reference_and_goes_on():
    sources = Sources()
    start = sources.clock.now_us()
    assert start == sources.reference_us
    sources.pass_by(1_234)
    assert sources.clock.now_us() == start + 1_234


def test_a_step_of_the_reference_is_not_seen_before_it_is_followed():
    sources = Sources()
    for step_us in (3_600_000_000, -3_600_000_000):
        before = sources.clock.now_us()
        sources.pass_by(10, drift_us=step_us)
        assert sources.clock.now_us() == before + 10
        assert sources.clock.follow(None)
        assert sources.clock.now_us() == sources.reference_us
        assert not sources.clock.follow(None)


def test_a_little_drift_is_no_step():
    sources = Sources()
    for drift_us in (STEP_US, -2 * STEP_US):
        before = sources.clock.now_us()
        sources.pass_by(10, drift_us=drift_us)
        assert not sources.clock.follow(None)
        assert sources.clock.now_us() == before + 10
    sources.pass_by(0, drift_us=-1)
    assert sources.clock.follow(None)


def test_drift_that_adds_up_is_followed_at_last():
    sources = Sources()
    steps = 0
    for _ in range(100):
        sources.pass_by(1_000_000, drift_us=50_000)
        steps += sources.clock.follow(None)
        assert abs(sources.clock.now_us() - sources.reference_us) <= STEP_US
    assert steps == 4


def test_the_reading_of_a_database_goes_before_the_machines():
    sources = Sources()
    database_us = sources.reference_us + 90_000_000
    assert sources.clock.follow(database_us)
    assert sources.clock.now_us() == database_us
    # Setting the machine's clock concerns nobody any more.
    sources.pass_by(1_000_000, drift_us=-3_600_000_000)
    assert not sources.clock.follow(database_us + 1_000_000)
    assert sources.clock.now_us() == database_us + 1_000_000


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(-(10**9), 10**9))))
def test_between_two_readings_it_goes_as_time_goes(moments):
    sources = Sources()
    for microseconds, drift_us in moments:
        before = sources.clock.now_us()
        sources.pass_by(microseconds, drift_us)
        assert sources.clock.now_us() == before + microseconds


def test_the_real_clock():
    clock = Clock()
    first = clock.now_us()
    assert 0 <= clock.now_us() - first < 60_000_000
    assert not clock.follow(None)
