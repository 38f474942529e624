"""Digests of what datapoints say, whole columns at a time, in a third of the time of a digest for every row.

A value is a sequence of 64-bit words: a number is one, a UUID two, a vector one a component; bytes and text are
as many as they fill, closed by a one bit; a list has the words of its items, or two a text. Every word is mixed
with a key made of its field's number and its place in the value, in two lanes, and the lanes of all words of a row
are added up. So a digest depends neither on the order of columns and the cut of batches nor on fields without a
value, and a missing value differs from zero and from the empty text. An empty list is a missing one.

The mixing is SplitMix64's, which is known to spread every bit over the word. It is no secret: who may write to a
collection could make two datapoints with one digest, and would only lose one of them.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

DIGEST_BYTES = 10
_WORD_BYTES = 8
# Small enough that a block stays in the processor's cache from one step to the next.
_BLOCK_WORDS = 1 << 14

_SHIFTS = tuple(np.uint64(shift) for shift in (30, 27, 31))
_FACTORS = tuple(np.uint64(factor) for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SECOND_SHIFT, _SECOND_FACTOR = np.uint64(32), np.uint64(0xD6E8FEB86659FD93)
_ONE = np.uint64(1)

# Of so few rows the columns of text and bytes are digested together: what they cost is calls, not arithmetic.
_FEW_ROWS = 256

# A key is made of the number of a field, and in so many bits below it of a place in the value.
_PLACE_BITS = 32


class _Fixed(NamedTuple):
    """One word for every row, and in which rows the value is missing."""

    place: int
    words: Words
    missing: NDArray[np.bool_] | None


def digests(columns: Iterable[tuple[int, pa.Array]], rows: int, person: bytes) -> NDArray[np.uint8]:
    """Return what tells datapoints apart, shape (rows, 10).

    Args:
        columns: The number of each field with its values, in the Arrow form of `_core/arrow.py`.
        rows: Number of datapoints.
        person: 16 bytes; the same datapoint has another digest for every other.
    """
    lanes = np.zeros((2, rows), np.uint64)
    fixed: list[_Fixed] = []
    few: list[tuple[int, pa.Array]] = []
    for number, column in columns:
        if column.null_count == len(column):
            continue
        if pa.types.is_list(column.type):
            _add_ragged(lanes, number, _lists_of(number, column))
        elif _is_ragged(column.type):
            if rows <= _FEW_ROWS:
                few.append((number, column))
            else:
                _add_bytes(lanes, number, column)
        else:
            missing = _is_missing(column)
            first = number << _PLACE_BITS
            fixed += [_Fixed(first + place, words, missing) for place, words in enumerate(_words_of(column))]
    if fixed:
        _add_fixed(lanes, fixed)
    if few:
        _add_few(lanes, few)
    return _closed(lanes, np.frombuffer(person, "<u8"))


def _closed(lanes: Words, person: Words) -> NDArray[np.uint8]:
    """Mix both lanes into the bytes of digests."""
    first = mixed(mixed(lanes[0] ^ person[0]) ^ lanes[1] ^ person[1])
    second = mixed(first + lanes[1])
    both = np.stack([first, second], axis=1).astype("<u8").view(np.uint8)
    return both[:, :DIGEST_BYTES]


def mixed(words: Words) -> Words:
    """Mix words (in place) one to one, so that every bit depends on every other."""
    shifted = words >> _SHIFTS[0]
    words ^= shifted
    for factor, shift in zip(_FACTORS, _SHIFTS[1:], strict=True):
        words *= factor
        np.right_shift(words, shift, out=shifted)
        words ^= shifted
    return words


def _keys(places: Words) -> Words:
    """Return the keys of words, as a column."""
    return mixed(places + _ONE)[:, np.newaxis]


def _sums(words: Words, keys: Words, missing: NDArray[np.bool_] | None = None) -> tuple[Words, Words]:
    """Return both lanes of words (words, rows), which are changed; what is missing adds nothing."""
    words ^= keys
    mixed(words)
    if missing is not None:
        words[missing] = 0
    first = words.sum(axis=0)
    return first, _second(words).sum(axis=0)


def _second(words: Words) -> Words:
    """Make of the mixed words of the first lane (in place) those of the second."""
    words *= _SECOND_FACTOR
    words ^= words >> _SECOND_SHIFT
    return words


# --- values of one width --------------------------------------------------------------------------------------------


def _add_fixed(lanes: Words, columns: list[_Fixed]) -> None:
    keys = _keys(np.array([column.place for column in columns], np.uint64))
    rows = lanes.shape[1]
    step = max(1, _BLOCK_WORDS // len(columns))
    for start in range(0, rows, step):
        block = slice(start, start + step)
        words = np.stack([column.words[block] for column in columns])
        first, second = _sums(words, keys, _missing_of(columns, block))
        lanes[0, block] += first
        lanes[1, block] += second


def _missing_of(columns: list[_Fixed], block: slice) -> NDArray[np.bool_] | None:
    if all(column.missing is None for column in columns):
        return None
    present = np.zeros(len(columns[0].words[block]), np.bool_)
    return np.stack([present if column.missing is None else column.missing[block] for column in columns])


def _words_of(column: pa.Array) -> list[Words]:
    """Return the words of values that all have the same number of them; a missing value may have any."""
    kind = column.type
    if pa.types.is_struct(kind):
        return [words for part in column.flatten() for words in _words_of(part)]
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.uint8()), pa.uint8()
    if pa.types.is_fixed_size_binary(kind):
        count = kind.byte_width // _WORD_BYTES
        return list(_values(column, np.dtype("<u8"), count).reshape(-1, count).T)
    letter = "f" if pa.types.is_floating(kind) else "u" if pa.types.is_unsigned_integer(kind) else "i"
    values = _values(column, np.dtype(f"<{letter}{kind.bit_width // 8}"))
    if letter == "f":
        values = values.view(f"<u{values.itemsize}")
    elif letter == "i":
        values = values.astype("<i8", copy=False)
    return [values.view("<u8") if values.itemsize == _WORD_BYTES else values.astype("<u8")]


def _values(column: pa.Array, dtype: np.dtype[Any], each: int = 1) -> NDArray[Any]:
    """Return what the buffer of an array holds, `each` items a row."""
    start = column.offset * each
    return np.frombuffer(column.buffers()[-1], dtype, count=start + len(column) * each)[start:]


def _is_missing(column: pa.Array) -> NDArray[np.bool_] | None:
    return np.asarray(column.is_null()) if column.null_count else None


# --- values of any length -------------------------------------------------------------------------------------------


class _Ragged(NamedTuple):
    """A sequence of words for every row.

    Args:
        words: All words, or from every byte the word that begins there.
        starts: Where the sequence of each row begins in them.
        counts: How many words it has.
        stride: From one word to the next.
        closing: Which bit closes the last word of each row, or None if words are whole.
    """

    words: Words
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    stride: int = 1
    closing: Words | None = None

    def take(self, rows: slice | NDArray[np.intp], count: int) -> Words:
        """Return the words of rows that have the same number of them, shape (count, rows)."""
        starts = self.starts[rows]
        distances = np.diff(starts)
        if len(distances) and distances.min() == distances.max():
            # They lie evenly spaced, as most do: copying them takes a sixth of the time of looking each up.
            size = self.words.strides[0]
            strides = (size * self.stride, size * int(distances[0]))
            even: Words = as_strided(self.words[starts[0] :], (count, len(starts)), strides)
            return even.copy()
        found: Words = self.words[starts + np.arange(0, count * self.stride, self.stride)[:, np.newaxis]]
        return found


def _is_ragged(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _add_ragged(lanes: Words, number: int, values: _Ragged) -> None:
    longest = int(values.counts.max())
    keys = _keys(np.arange(longest, dtype=np.uint64) + np.uint64(number << _PLACE_BITS))
    for count, rows in _alike(values.counts):
        words = values.take(rows, count)
        if values.closing is not None:
            closing = values.closing[rows]
            words[-1] = words[-1] & (closing - _ONE) | closing
        first, second = _sums(words, keys[:count])
        lanes[0, rows] += first
        lanes[1, rows] += second


def _alike(counts: NDArray[np.intp]) -> Iterator[tuple[int, slice | NDArray[np.intp]]]:
    """Yield rows whose values have the same number of words, some at a time; those without words are left out."""
    order = None if counts.min() == counts.max() else np.argsort(counts, kind="stable")
    ordered = counts if order is None else counts[order]
    edges = [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(ordered)]
    for first, last in itertools.pairwise(edges):
        count = int(ordered[first])
        step = max(1, _BLOCK_WORDS // max(1, count))
        for start in range(first, last if count else first, step):
            block = slice(start, min(start + step, last))
            yield count, block if order is None else order[block]


def _add_bytes(lanes: Words, number: int, column: pa.Array) -> None:
    """Add bytes or text, of which a missing value has no words."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32, count=column.offset + len(column) + 1)[column.offset :].astype(np.intp)
    whole, rest = np.divmod(np.diff(ends), _WORD_BYTES)
    counts = whole + 1
    if column.null_count:
        counts[np.asarray(column.is_null())] = 0
    closing = _ONE << (rest * 8).astype(np.uint64)
    raw = np.frombuffer(data or b"", np.uint8)
    # The words of the last few values reach beyond the end of the data, so these are copied to where there is room.
    inside = int(np.searchsorted(ends[1:], len(raw) - _WORD_BYTES, side="right"))
    first, last = int(ends[inside]), int(ends[-1])
    room = np.zeros(last - first + _WORD_BYTES, np.uint8)
    room[: last - first] = raw[first:last]
    for rows, held, start in ((slice(inside), raw, 0), (slice(inside, None), room, first)):
        if len(counts[rows]):
            words = np.ndarray(len(held) - _WORD_BYTES + 1, "<u8", held, strides=(1,))
            values = _Ragged(words, ends[:-1][rows] - start, counts[rows], _WORD_BYTES, closing[rows])
            _add_ragged(lanes[:, rows], number, values)


def _add_few(lanes: Words, columns: list[tuple[int, pa.Array]]) -> None:
    """Add bytes or text of several columns at once, every word by itself, to the same sums as `_add_bytes` would."""
    rows = lanes.shape[1]
    pieces, starts, lengths, missing, size = [], [], [], [], 0
    for _, column in columns:
        _, offsets, data = column.buffers()
        ends = np.frombuffer(offsets, np.int32, count=column.offset + rows + 1)[column.offset :].astype(np.intp)
        pieces.append(memoryview(data or b"")[ends[0] : ends[-1]])
        starts.append(ends[:-1] - ends[0] + size)
        lengths.append(np.diff(ends))
        missing.append(np.asarray(column.is_null()) if column.null_count else np.zeros(rows, np.bool_))
        size += len(pieces[-1])
    whole, rest = np.divmod(np.concatenate(lengths), _WORD_BYTES)
    counts = np.where(np.concatenate(missing), 0, whole + 1)
    owners = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    places = np.arange(len(owners)) - (ends - counts)[owners]
    # From every byte the word that begins there; those of the last values reach beyond the end of the data.
    raw = np.frombuffer(b"".join([*pieces, bytes(_WORD_BYTES)]), np.uint8)
    words = np.ndarray(size + 1, "<u8", raw, strides=(1,))[np.concatenate(starts)[owners] + places * _WORD_BYTES]
    present = counts > 0
    closing, last = _ONE << (rest[present] * 8).astype(np.uint64), ends[present] - 1
    words[last] = words[last] & (closing - _ONE) | closing
    numbers = np.array([number << _PLACE_BITS for number, _ in columns], np.uint64)
    words ^= _keys(np.repeat(numbers, rows)[owners] + places.astype(np.uint64))[:, 0]
    mixed(words)
    np.add.at(lanes[0], owners % rows, words)
    np.add.at(lanes[1], owners % rows, _second(words))


def _lists_of(number: int, column: pa.ListArray) -> _Ragged:
    """Return the words of lists: those of their items, or both lanes of each where items are of any length."""
    items = column.flatten()
    if _is_ragged(items.type):
        lanes = np.zeros((2, len(items)), np.uint64)
        if len(items):
            _add_bytes(lanes, number, items)
        parts = list(lanes)
    else:
        parts = _words_of(items) if len(items) else []
    counts = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.intp) * len(parts)
    words = np.stack(parts, axis=1).reshape(-1) if parts else np.zeros(0, np.uint64)
    return _Ragged(words, np.cumsum(counts) - counts, counts)
