"""Time filters: no false negatives, and hardly any false positives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox.server.points.index.bloom import TimeFilter


@given(st.lists(st.integers(-(2**47), 2**47 - 1), min_size=1, max_size=50))
def test_there_are_no_false_negatives(times):
    assert TimeFilter.of(np.array(times)).may_contain(np.array(times)).all()


@pytest.mark.parametrize("rows", [1, 100, 20_000, 65_536])
def test_false_positives_are_rare(rows):
    random = np.random.default_rng(1)
    times = random.integers(-(2**40), 2**40, rows) * 2
    filter_ = TimeFilter.of(times)
    assert (filter_.exact is None) == (rows > 1_024)
    assert filter_.may_contain(times).all()
    assert filter_.may_contain(random.integers(-(2**40), 2**40, 100_000) * 2 + 1).mean() < 0.002
    # Evenly spaced times are no worse than random ones.
    spaced = TimeFilter.of(np.arange(rows) * 1_000)
    assert spaced.may_contain(np.arange(100_000) * 1_000 + 1).mean() < 0.002


def test_a_filter_of_few_rows_has_no_false_positives():
    random = np.random.default_rng(1)
    filter_ = TimeFilter.of(random.integers(-(2**40), 2**40, 1_024) * 2)
    assert not filter_.may_contain(random.integers(-(2**40), 2**40, 1_000_000) * 2 + 1).any()


def test_no_times():
    assert TimeFilter.of(np.array([3])).may_contain(np.array([], np.int64)).tolist() == []
