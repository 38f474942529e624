"""Digests: equal exactly for equal rows, however they are laid out, and as good as random for different ones."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox.server.points.identity.digests import DIGEST_BYTES, digests

SALT = bytes(range(16))
VECTOR = pa.struct([pa.field(name, pa.float64(), nullable=False) for name in "xyz"])
COUNT = 1 << 16

VALUES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int32(): st.integers(-3, 3),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.sampled_from([0.0, 1.0, -1.0, 1e300]),
    pa.float32(): st.sampled_from([0.0, 1.0, -1.0]),
    pa.bool_(): st.booleans(),
    pa.timestamp("ns"): st.integers(-5, 5),
    pa.string(): st.text("ab\0é", max_size=20),
    pa.binary(): st.binary(max_size=20),
    pa.binary(16): st.binary(min_size=16, max_size=16),
    VECTOR: st.tuples(*[st.sampled_from([0.0, 1.0])] * 3).map(
        lambda components: dict(zip("xyz", components, strict=True))
    ),
}


def of(columns: dict[int, pa.Array], salt: bytes = SALT) -> list[bytes]:
    rows = len(next(iter(columns.values())))
    return [row.tobytes() for row in digests(columns.items(), rows, salt)]


def collisions(found: np.ndarray) -> float:
    """Return the ratio of pairs that agree in 24 bits to the number expected by chance, at the worst position."""
    rows = len(found)
    expected = rows * (rows - 1) / 2 / 2**24
    worst = 1.0
    for first in range(DIGEST_BYTES - 2):
        words = found[:, first : first + 3].astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
        _, counts = np.unique(words, return_counts=True)
        ratio = (counts * (counts - 1) / 2).sum() / expected
        worst = max(worst, ratio, 1 / max(ratio, 1e-9))
    return worst


def grids(*axes: np.ndarray) -> dict[int, pa.Array]:
    """Return one column per axis, with all combinations of their values."""
    return {number: pa.array(values.ravel()) for number, values in enumerate(np.meshgrid(*axes), 1)}


STRUCTURED = {
    "counters": {1: pa.array(np.arange(COUNT))},
    "high bits": {1: pa.array(np.arange(COUNT) << 47)},
    "whole doubles": {1: pa.array(np.arange(COUNT).astype(float))},
    "two swapped fields": grids(np.arange(256), np.arange(256)),
    "two fields of high bits": grids(np.arange(256) << 55, np.arange(256) << 55),
    "signs": grids(*[np.array([-1.5, 1.5])] * 16),
    "one bit in each of many fields": grids(*[np.array([0, 1])] * 16),
    "the highest bit in each of many fields": grids(*[np.array([0, -(2**63)])] * 16),
    "values or none": grids(*[np.array([0, 1])] * 15) | {16: pa.array([None, 0] * (1 << 14))},
    "opposite values": {1: pa.array(np.arange(COUNT)), 2: pa.array(-np.arange(COUNT))},
    "numbered texts": {1: pa.array([f"granule_{i:09d}" for i in range(COUNT)])},
    "texts of two letters": {1: pa.array(["".join(text) for text in itertools.product("ab", repeat=16)])},
    "runs of zeros": {1: pa.array([bytes(i) for i in range(2000)])},
    "a moving letter": {1: pa.array([bytes(i) + b"x" + bytes(40 - i) for i in range(40)])},
    "swapped lists": {1: pa.array([[i, j] for i in range(256) for j in range(256)])},
    "texts divided differently": {1: pa.array([[f"{i}" * (i % 7), f"{i}"] for i in range(COUNT)])},
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_digests_of_regular_data_look_random(name):
    found = digests(STRUCTURED[name].items(), len(next(iter(STRUCTURED[name].values()))), SALT)
    assert len({row.tobytes() for row in found}) == len(found)
    if len(found) > COUNT // 2:
        assert collisions(found) < 2


@pytest.mark.parametrize("bits", [64, 80])
def test_every_bit_of_a_value_changes_half_of_the_digest(bits):
    rng = np.random.default_rng(1)
    size = bits // 8
    base = [rng.bytes(size) for _ in range(400)]
    changed = [
        (int.from_bytes(value, "little") ^ (1 << bit)).to_bytes(size, "little") for bit in range(bits) for value in base
    ]
    kind = pa.uint64() if bits == 64 else pa.binary()
    read = (lambda raw: int.from_bytes(raw, "little")) if bits == 64 else bytes
    before = digests([(3, pa.array([read(value) for value in base], kind))], len(base), SALT)
    after = digests([(3, pa.array([read(value) for value in changed], kind))], len(changed), SALT)
    flips = np.unpackbits(after.reshape(bits, len(base), -1) ^ before, axis=2).mean(axis=1)
    assert flips.shape == (bits, 80)
    assert flips.min() > 0.36  # 5.6 standard deviations
    assert flips.max() < 0.64


@pytest.mark.parametrize("lists", [False, True])
@given(data=st.data())
def test_digests_are_equal_exactly_if_rows_are(lists, data):
    kind = data.draw(st.sampled_from(list(VALUES)))
    one = st.lists(VALUES[kind], max_size=4) if lists else st.none() | VALUES[kind]
    values = data.draw(st.lists(one, min_size=1, max_size=30))
    found = of({5: pa.array(values, pa.list_(kind) if lists else kind)})
    by_value = dict(zip(map(repr, values), found, strict=True))
    assert [by_value[repr(value)] for value in values] == found
    assert len(set(found)) == len(set(map(repr, values)))


@given(st.data())
def test_digests_do_not_depend_on_batches_and_column_order(data):
    kinds = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    rows = data.draw(st.integers(1, 12))
    columns = {}
    for number, kind in enumerate(kinds, 1):
        values = data.draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows))
        columns[number] = pa.array(values, kind)
        lists = data.draw(st.lists(st.lists(VALUES[kind], max_size=3), min_size=rows, max_size=rows))
        columns[100 + number] = pa.array(lists, pa.list_(kind))
    whole = of(columns)
    cut = data.draw(st.integers(0, rows - 1))
    assert of({number: column.slice(cut) for number, column in reversed(columns.items())}) == whole[cut:]


@given(st.data())
def test_few_rows_and_many_have_the_same_digests(data):
    few = data.draw(st.integers(1, 8))
    columns = {}
    for number in range(1, data.draw(st.integers(1, 4)) + 1):
        kind = data.draw(st.sampled_from([pa.string(), pa.binary()]))
        values = data.draw(st.lists(st.none() | VALUES[kind], min_size=few, max_size=few))
        columns[number] = pa.array(values, kind)
    many = {number: pa.concat_arrays([column] * 300) for number, column in columns.items()}
    assert of(columns) == of(many)[:few]
    assert of({number: column.slice(1) for number, column in columns.items()}) == of(many)[1:few]


@pytest.mark.parametrize("kind", VALUES, ids=str)
def test_a_field_without_values_changes_nothing(kind):
    one = {1: pa.array([1, 2])}
    assert of(one | {2: pa.nulls(2, kind)}) == of(one)
    assert of(one | {2: pa.array([[], []], pa.list_(kind))}) == of(one)


def test_field_and_salt_count():
    column = pa.array([7])
    assert len({*of({1: column}), *of({2: column}), *of({1: column}, bytes(16)), *of({1: column, 2: column})}) == 4


def test_a_row_has_the_same_digest_in_a_large_batch_and_alone():
    rng = np.random.default_rng(2)
    texts = pa.array([rng.bytes(int(size)) for size in rng.integers(0, 300, 20_000)])
    even = pa.array([rng.bytes(23) for _ in range(20_000)])
    numbers = pa.array(rng.integers(0, 2**60, 20_000), mask=rng.random(20_000) < 0.1)
    found = of({1: texts, 2: even, 3: numbers})
    for row in (0, 1, 777, 16_383, 16_384, 19_999):
        assert of({1: texts.slice(row, 1), 2: even.slice(row, 1), 3: numbers.slice(row, 1)}) == [found[row]]
    assert of({1: pa.array([b"x" * 3_000_000])}) != of({1: pa.array([b"x" * 3_000_001])})


def test_no_rows_give_no_digests():
    assert digests([(1, pa.array([], pa.string()))], 0, SALT).shape == (0, DIGEST_BYTES)


@pytest.mark.parametrize("values", [[b"x" * 50] * 3 + [b""] * 20 + [None] * 3, [b"", b"abc"], [None, b"x" * 9, None]])
def test_values_at_the_end_of_the_buffer_have_the_same_digests(values):
    found = of({1: pa.array(values, pa.binary())})
    assert found == [of({1: pa.array([value, b"more than a word"], pa.binary())})[0] for value in values]
