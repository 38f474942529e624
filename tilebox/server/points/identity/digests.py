"""Digests of the content of datapoints, computed column by column in a third of the time that hashing rows takes.

A value is a sequence of 64-bit words. A number is one word, a UUID two, a vector one per component. Bytes and text
fill as many words as they need, terminated by a one bit. A list has the words of its items, or two per text.

Every word is mixed with a key made of the number of its field and its position in the value, in two lanes. The digest
of a row is the sum of each lane over all its words, mixed again. So a digest depends neither on the order of columns
nor on how rows are divided into batches, nor on fields without a value. A missing value differs from zero and from
the empty text; an empty list counts as missing.

The mixing function is the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), which is known to spread every bit over the word. It is not cryptographic: a user who may write
to a collection could construct two datapoints with one digest, and would only lose one of them.
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
# Small enough that a block stays in the processor's cache between steps.
_BLOCK_WORDS = 1 << 14

_SHIFTS = tuple(np.uint64(shift) for shift in (30, 27, 31))
_FACTORS = tuple(np.uint64(factor) for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SECOND_SHIFT, _SECOND_FACTOR = np.uint64(32), np.uint64(0xD6E8FEB86659FD93)
_ONE = np.uint64(1)

# Up to this many rows, all columns of text and bytes are digested together: calls cost more than arithmetic then.
_FEW_ROWS = 256

# The low bits of a slot number the words of a value; the high bits are the number of the field.
_WORD_INDEX_BITS = 32


class _WordColumn(NamedTuple):
    """One word per row for a slot, and the rows in which the value is missing."""

    slot: int
    words: Words
    missing: NDArray[np.bool_] | None


def digests(columns: Iterable[tuple[int, pa.Array]], rows: int, salt: bytes) -> NDArray[np.uint8]:
    """Return the digests of datapoints, shape (rows, 10).

    Args:
        columns: Number and values of each field, with the Arrow types of `_core/schema/arrow_schema.py`.
        rows: Number of datapoints.
        salt: 16 bytes; the same datapoint has a different digest for each salt.
    """
    lanes = np.zeros((2, rows), np.uint64)
    word_columns: list[_WordColumn] = []
    texts: list[tuple[int, pa.Array]] = []
    for number, column in columns:
        if column.null_count == len(column):
            continue
        if pa.types.is_list(column.type):
            _add_ragged(lanes, number, _list_words(number, column))
        elif _is_variable_length(column.type):
            if rows <= _FEW_ROWS:
                texts.append((number, column))
            else:
                _add_bytes(lanes, number, column)
        else:
            missing = _null_mask(column)
            first = number << _WORD_INDEX_BITS
            word_columns += [
                _WordColumn(first + word_index, words, missing) for word_index, words in enumerate(_words_of(column))
            ]
    if word_columns:
        _add_word_columns(lanes, word_columns)
    if texts:
        _add_texts(lanes, texts)
    return _finalize(lanes, np.frombuffer(salt, "<u8"))


def _finalize(lanes: Words, salt: Words) -> NDArray[np.uint8]:
    """Mix both lanes into digests, shape (rows, 10)."""
    first = mix64(mix64(lanes[0] ^ salt[0]) ^ lanes[1] ^ salt[1])
    second = mix64(first + lanes[1])
    both = np.stack([first, second], axis=1).astype("<u8").view(np.uint8)
    return both[:, :DIGEST_BYTES]


def mix64(words: Words) -> Words:
    """Mix words in place with a bijection in which every bit of the result depends on every bit of the input."""
    shifted = words >> _SHIFTS[0]
    words ^= shifted
    for factor, shift in zip(_FACTORS, _SHIFTS[1:], strict=True):
        words *= factor
        np.right_shift(words, shift, out=shifted)
        words ^= shifted
    return words


def _keys(slots: Words) -> Words:
    """Return the keys of slots, shape (slots, 1)."""
    return mix64(slots + _ONE)[:, np.newaxis]


def _lane_sums(words: Words, keys: Words, missing: NDArray[np.bool_] | None = None) -> tuple[Words, Words]:
    """Return both lanes of words (words, rows), mixing them in place. Missing values add nothing."""
    words ^= keys
    mix64(words)
    if missing is not None:
        words[missing] = 0
    first = words.sum(axis=0)
    return first, _to_second_lane(words).sum(axis=0)


def _to_second_lane(words: Words) -> Words:
    """Turn the mixed words of the first lane into those of the second, in place."""
    words *= _SECOND_FACTOR
    words ^= words >> _SECOND_SHIFT
    return words


# --- values of fixed width --------------------------------------------------------------------------------------------


def _add_word_columns(lanes: Words, columns: list[_WordColumn]) -> None:
    keys = _keys(np.array([column.slot for column in columns], np.uint64))
    rows = lanes.shape[1]
    step = max(1, _BLOCK_WORDS // len(columns))
    for start in range(0, rows, step):
        block = slice(start, start + step)
        words = np.stack([column.words[block] for column in columns])
        first, second = _lane_sums(words, keys, _missing_mask(columns, block))
        lanes[0, block] += first
        lanes[1, block] += second


def _missing_mask(columns: list[_WordColumn], block: slice) -> NDArray[np.bool_] | None:
    if all(column.missing is None for column in columns):
        return None
    present = np.zeros(len(columns[0].words[block]), np.bool_)
    return np.stack([present if column.missing is None else column.missing[block] for column in columns])


def _words_of(column: pa.Array) -> list[Words]:
    """Return the words of fixed-width values, one array per word. Missing values have arbitrary words."""
    kind = column.type
    if pa.types.is_struct(kind):
        return [words for part in column.flatten() for words in _words_of(part)]
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.uint8()), pa.uint8()
    if pa.types.is_fixed_size_binary(kind):
        count = kind.byte_width // _WORD_BYTES
        return list(_values(column, np.dtype("<u8"), count).reshape(-1, count).T)
    kind_code = "f" if pa.types.is_floating(kind) else "u" if pa.types.is_unsigned_integer(kind) else "i"
    values = _values(column, np.dtype(f"<{kind_code}{kind.bit_width // 8}"))
    if kind_code == "f":
        values = values.view(f"<u{values.itemsize}")
    elif kind_code == "i":
        values = values.astype("<i8", copy=False)
    return [values.view("<u8") if values.itemsize == _WORD_BYTES else values.astype("<u8")]


def _values(column: pa.Array, dtype: np.dtype[Any], per_row: int = 1) -> NDArray[Any]:
    """Return a view of the values buffer of an array, with `per_row` items per row."""
    start = column.offset * per_row
    return np.frombuffer(column.buffers()[-1], dtype, count=start + len(column) * per_row)[start:]


def _null_mask(column: pa.Array) -> NDArray[np.bool_] | None:
    return np.asarray(column.is_null()) if column.null_count else None


# --- values of variable length ---------------------------------------------------------------------------------------


class _Ragged(NamedTuple):
    """A sequence of words per row.

    Args:
        words: All words; or the words that begin at each byte, which overlap.
        starts: Index of the first word of each row.
        counts: Number of words of each row.
        stride: Distance in `words` between two words of a row.
        terminators: The bit that terminates the last word of each row, or None if all words are full.
    """

    words: Words
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    stride: int = 1
    terminators: Words | None = None

    def take(self, rows: slice | NDArray[np.intp], count: int) -> Words:
        """Return the words of rows that all have `count` of them, shape (count, rows)."""
        starts = self.starts[rows]
        distances = np.diff(starts)
        if len(distances) and distances.min() == distances.max():
            # Most columns are evenly spaced. A strided copy then takes a sixth of the time of gathering.
            size = self.words.strides[0]
            strides = (size * self.stride, size * int(distances[0]))
            even: Words = as_strided(self.words[starts[0] :], (count, len(starts)), strides)
            return even.copy()
        found: Words = self.words[starts + np.arange(0, count * self.stride, self.stride)[:, np.newaxis]]
        return found


def _is_variable_length(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _add_ragged(lanes: Words, number: int, values: _Ragged) -> None:
    longest = int(values.counts.max())
    keys = _keys(np.arange(longest, dtype=np.uint64) + np.uint64(number << _WORD_INDEX_BITS))
    for count, rows in _by_word_count(values.counts):
        words = values.take(rows, count)
        if values.terminators is not None:
            terminators = values.terminators[rows]
            words[-1] = words[-1] & (terminators - _ONE) | terminators
        first, second = _lane_sums(words, keys[:count])
        lanes[0, rows] += first
        lanes[1, rows] += second


def _by_word_count(counts: NDArray[np.intp]) -> Iterator[tuple[int, slice | NDArray[np.intp]]]:
    """Yield blocks of rows whose values have the same number of words, without the rows that have none."""
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
    """Add bytes or text. A missing value has no words."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32, count=column.offset + len(column) + 1)[column.offset :].astype(np.intp)
    whole, rest = np.divmod(np.diff(ends), _WORD_BYTES)
    counts = whole + 1
    if column.null_count:
        counts[np.asarray(column.is_null())] = 0
    terminators = _ONE << (rest * 8).astype(np.uint64)
    raw = np.frombuffer(data or b"", np.uint8)
    # The last words of the last few values reach beyond the end of the buffer, so these values are copied and padded.
    inside = int(np.searchsorted(ends[1:], len(raw) - _WORD_BYTES, side="right"))
    first, last = int(ends[inside]), int(ends[-1])
    room = np.zeros(last - first + _WORD_BYTES, np.uint8)
    room[: last - first] = raw[first:last]
    for rows, held, start in ((slice(inside), raw, 0), (slice(inside, None), room, first)):
        if len(counts[rows]):
            words = np.ndarray(len(held) - _WORD_BYTES + 1, "<u8", held, strides=(1,))
            values = _Ragged(words, ends[:-1][rows] - start, counts[rows], _WORD_BYTES, terminators[rows])
            _add_ragged(lanes[:, rows], number, values)


def _add_texts(lanes: Words, columns: list[tuple[int, pa.Array]]) -> None:
    """Add several columns of bytes or text at once, with the same result as `_add_bytes` for each."""
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
    indices = np.arange(len(owners)) - (ends - counts)[owners]
    # The words that begin at each byte. The padding serves the last ones, which reach beyond the end of the data.
    raw = np.frombuffer(b"".join([*pieces, bytes(_WORD_BYTES)]), np.uint8)
    words = np.ndarray(size + 1, "<u8", raw, strides=(1,))[np.concatenate(starts)[owners] + indices * _WORD_BYTES]
    present = counts > 0
    terminators, last = _ONE << (rest[present] * 8).astype(np.uint64), ends[present] - 1
    words[last] = words[last] & (terminators - _ONE) | terminators
    numbers = np.array([number << _WORD_INDEX_BITS for number, _ in columns], np.uint64)
    words ^= _keys(np.repeat(numbers, rows)[owners] + indices.astype(np.uint64))[:, 0]
    mix64(words)
    np.add.at(lanes[0], owners % rows, words)
    np.add.at(lanes[1], owners % rows, _to_second_lane(words))


def _list_words(number: int, column: pa.ListArray) -> _Ragged:
    """Return the words of lists: those of their items, or both lanes of each item of variable length."""
    items = column.flatten()
    if _is_variable_length(items.type):
        lanes = np.zeros((2, len(items)), np.uint64)
        if len(items):
            _add_bytes(lanes, number, items)
        parts = list(lanes)
    else:
        parts = _words_of(items) if len(items) else []
    counts = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.intp) * len(parts)
    words = np.stack(parts, axis=1).reshape(-1) if parts else np.zeros(0, np.uint64)
    return _Ragged(words, np.cumsum(counts) - counts, counts)
