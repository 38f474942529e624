"""Variables that stay in Arrow until they are accessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from tilebox._core.columns import arrow_columns
from tilebox._core.columns.numpy_columns import ColumnBuilder, dtype_of, missing_value
from tilebox._core.schema.fields import VECTOR_COMPONENTS, Field

if TYPE_CHECKING:
    import pyarrow as pa

    Array = np.ndarray[Any, Any]


def lazy_column(field: Field, chunks: list[pa.Array]) -> Any:
    """Return an array for `xarray.Variable` that decodes its Arrow chunks on access."""
    # LazilyIndexedArray combines indexing without decoding. CopyOnWriteArray lets users assign to the variable.
    lazy: Any = indexing.LazilyIndexedArray(ArrowColumn(field, chunks))
    return indexing.CopyOnWriteArray(lazy)


class ArrowColumn(BackendArray):
    """An Arrow column with the shape and dtype of the numpy column that it decodes to.

    Access to a single row decodes only that row. Any other access decodes the whole column once, and frees the Arrow
    form.

    Args:
        field: The field of the column.
        chunks: The values, at least one chunk.
    """

    def __init__(self, field: Field, chunks: list[pa.Array]) -> None:
        import pyarrow as pa

        self._field = field
        self._arrow: pa.ChunkedArray | None = pa.chunked_array(chunks)
        self._decoded: Array | None = None
        self.dtype = dtype_of(field)
        self.shape = self._shape(chunks)

    def _shape(self, chunks: list[pa.Array]) -> tuple[int, ...]:
        shape = [sum(map(len, chunks))]
        if self._field.repeated:
            lengths = [chunk.value_lengths().fill_null(0).to_numpy().max(initial=0) for chunk in chunks]
            shape.append(int(max(lengths)))
        if self._field.kind in VECTOR_COMPONENTS:
            shape.append(len(VECTOR_COMPONENTS[self._field.kind]))
        return tuple(shape)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._basic)

    def _basic(self, key: tuple[int | slice, ...]) -> Any:
        rows, *inner = key
        if self._decoded is None and isinstance(rows, int | np.integer):
            selected = self._decode(int(rows), int(rows) + 1)[(0, *inner)]
        else:
            selected = self._all()[key]
        return selected if isinstance(selected, np.ndarray) else self._scalar(selected)

    def _scalar(self, value: Any) -> Array:
        scalar = np.empty((), self.dtype)
        scalar[()] = value
        return scalar

    def _all(self) -> Array:
        # Two threads may both decode the column. Their arrays are equal, and the later one is kept.
        if self._decoded is None:
            self._decoded = self._decode(0, self.shape[0])
            self._arrow = None
        return self._decoded

    def _decode(self, start: int, stop: int) -> Array:
        arrow = self._arrow
        if arrow is None:
            assert self._decoded is not None  # noqa: S101 - set before the Arrow form is freed
            return self._decoded[start:stop]
        column = ColumnBuilder(self._field)
        for chunk in arrow.slice(start, stop - start).chunks:
            column.append(arrow_columns.chunk_of(self._field, chunk))
        joined = column.join()
        return joined if joined.shape[1:] == self.shape[1:] else self._widen(joined)

    def _widen(self, joined: Array) -> Array:
        """Pad the lists of some rows to the width of the whole column."""
        widened = np.full((len(joined), *self.shape[1:]), missing_value(self._field), dtype=self.dtype)
        widened[:, : joined.shape[1]] = joined
        return widened
