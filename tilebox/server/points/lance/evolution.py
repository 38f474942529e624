"""Schema evolution: adding columns to a table when the type of its dataset grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.errors import InvalidArgumentError
from tilebox.server.points.columns import schema_metadata, stored_schema

if TYPE_CHECKING:
    from tilebox._core.schema.fields import Schema
    from tilebox.server.points.lance.table import Table


def evolve(table: Table, schema: Schema) -> None:
    """Add the columns that a schema has and a table lacks. Existing rows have no values in them.

    The call can be repeated. It stores the schema last, so a crash in between leaves columns that no reader uses yet.

    Raises:
        InvalidArgumentError: A column would change its type.
    """
    version, wanted = table.latest(), stored_schema(schema)
    dataset = version.handle()
    for field in wanted:
        if field.name in dataset.schema.names and not dataset.schema.field(field.name).type.equals(field.type):
            raise InvalidArgumentError(f"field {field.name!r} cannot change its type once datapoints are stored")
    added = [field for field in wanted if field.name not in dataset.schema.names]
    if added:
        dataset.add_columns(added)
        version = table.publish(version, dataset)
        dataset = version.handle()
    notes: dict[str, str | None] = {key.decode(): value.decode() for key, value in schema_metadata(schema).items()}
    dataset.update_schema_metadata(notes)
    table.publish(version, dataset)
