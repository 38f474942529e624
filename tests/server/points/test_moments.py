"""Times that occur are never missed, and others hardly ever taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox.server.points.index.bloom import Moments


@given(st.lists(st.integers(-(2**47), 2**47 - 1), min_size=1, max_size=50))
def test_a_time_that_occurs_is_never_missed(times):
    assert Moments.of(np.array(times)).may_have(np.array(times)).all()


@pytest.mark.parametrize("rows", [1, 100, 20_000, 65_536])
def test_other_times_are_hardly_ever_taken_for_one_that_occurs(rows):
    random = np.random.default_rng(1)
    times = random.integers(-(2**40), 2**40, rows) * 2
    moments = Moments.of(times)
    assert (moments.exact is None) == (rows > 1_024)
    assert moments.may_have(times).all()
    assert moments.may_have(random.integers(-(2**40), 2**40, 100_000) * 2 + 1).mean() < 0.002
    # Times in a row are no worse than others.
    in_a_row = Moments.of(np.arange(rows) * 1_000)
    assert in_a_row.may_have(np.arange(100_000) * 1_000 + 1).mean() < 0.002


def test_of_few_rows_no_other_time_is_ever_taken_for_one():
    random = np.random.default_rng(1)
    moments = Moments.of(random.integers(-(2**40), 2**40, 1_024) * 2)
    assert not moments.may_have(random.integers(-(2**40), 2**40, 1_000_000) * 2 + 1).any()


def test_no_times():
    assert Moments.of(np.array([3])).may_have(np.array([], np.int64)).tolist() == []
