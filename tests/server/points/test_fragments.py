"""Inventories of fragments: an ingest is led to the fragments that may have its times, and hardly ever to others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tilebox.server.points.index.fragments import FragmentInfo, FragmentStatistics, Inventory

# More rows than an exact time filter holds, and fewer.
_MANY, _FEW = 1_500, 30


def fragment(number, times):
    times = np.asarray(times, np.int64)
    statistics = FragmentStatistics.of(np.ones(len(times), np.int32), times, np.array([], np.int64))
    return FragmentInfo(number, f"{number}.lance", "", statistics)


@given(st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=8), max_size=8), st.lists(st.integers(-60, 60)))
def test_small_fragments_are_selected_only_for_times_that_they_have(parts, times):
    inventory = Inventory.of(())
    for number, own in enumerate(parts):
        inventory = inventory.extended(fragment(number, own))
    assert inventory.recent.tolist() == Inventory.of(inventory.parts).recent.tolist()
    selection, may_exist = inventory.with_times(None, np.array(times, np.int64))
    assert may_exist.tolist() == [any(time in own for own in parts) for time in times]
    assert [part.number for part in selection.parts] == [
        number for number, own in enumerate(parts) if set(own) & set(times)
    ]
    assert selection.is_everything == (len(selection.parts) == len(parts))


def test_large_fragments_are_selected_beside_small_ones():
    many, few = np.arange(_MANY) * 2, 10**9 + np.arange(_FEW)
    inventory = Inventory.of((fragment(1, many), fragment(2, few)))
    assert len(inventory.recent) == _FEW
    for times, expected in ((many[:5], [1]), (few[:5], [2]), (np.array([many[7], few[7]]), [1, 2])):
        selection, may_exist = inventory.with_times(None, times)
        assert may_exist.all()
        assert [part.number for part in selection.parts] == expected


def test_hundreds_of_small_fragments_have_no_false_positives():
    random = np.random.default_rng(3)
    inventory = Inventory.of(tuple(fragment(n, random.integers(0, 2**40, 100) * 2) for n in range(300)))
    selection, may_exist = inventory.with_times(None, random.integers(0, 2**40, 10_000) * 2 + 1)
    assert not may_exist.any()
    assert selection.parts == ()
