"""The rules for the type of a dataset: how it may be given, and how it may change.

Once a dataset has datapoints, its type may only grow: fields may be added at the end, and the annotations
of a field (description, example, whether filters may name it) may change. A change that would lose or
reinterpret stored values is refused. A dataset without datapoints may change to any type.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from tilebox._core.schema.fields import QUERYABLE_KINDS, DatasetKind, Field, FieldKind, Schema
from tilebox.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from tilebox._core.protocol.datasets.v1.dataset_type_pb2 import DatasetType

MAX_FIELDS = 500
MAX_QUERYABLE_STRINGS = 2
MAX_DESCRIPTION_LENGTH = 50_000


def parse_type(message: DatasetType) -> Schema:
    """Parse and check the type in a request.

    Raises:
        InvalidArgumentError: A field cannot be part of a dataset; the message names it.
    """
    if len(message.fields) > MAX_FIELDS:
        raise InvalidArgumentError(f"a dataset has at most {MAX_FIELDS} fields, not {len(message.fields)}")
    for position, field in enumerate(message.fields):
        if not field.HasField("descriptor"):
            raise InvalidArgumentError(f"type.fields[{position}].descriptor is required")
    try:
        schema = Schema.from_dataset_type(message)
    except ValueError as error:
        raise InvalidArgumentError(f"type: {error}") from None
    _check_annotations(schema)
    return schema


def with_message_name(schema: Schema, dataset: UUID, revision: int, code_name: str) -> Schema:
    """Return a schema with the message name of one revision of a dataset.

    A client process registers a type by name only once. Each revision has its own name, so that clients
    see a changed type without a restart.
    """
    camel = "".join(part.capitalize() for part in code_name.rpartition(".")[2].split("_"))
    return replace(schema, type_name=f"tilebox.u{dataset.hex}.r{revision}.{camel}")


def evolve(old: Schema, new: Schema, *, has_data: bool) -> Schema:
    """Return the schema that replaces `old` when a request asks for `new`.

    A field of the same name and type keeps its number. No other field gets a number that `old` used, so that
    messages of clients with the old type cannot be misread. If all old fields remain, they also keep their
    order, and new ones follow.

    Args:
        old: The current schema.
        new: The requested schema; its field numbers are ignored.
        has_data: Whether the dataset has datapoints.

    Raises:
        InvalidArgumentError: The dataset has datapoints and the change would lose values.
    """
    if has_data:
        _refuse_loss(old, new)
    standard = {field.name: field.number for field in Schema.of(new.kind)}
    names = [field.name for field in (*old.fields, *new.fields)] if _grows(old, new) else [field.name for field in new]
    custom_fields = [_field(new, name) for name in dict.fromkeys(names) if name not in standard]
    # Numbers of removed fields are not reused either.
    next_number = count(max(field.number for field in (*old.fields, *Schema.of(new.kind))) + 1)
    old_numbers = {field.name: field.number for field in old if field.number not in standard.values()}
    numbers = {
        field.name: old_numbers[field.name]
        if field.name in old_numbers and _same_type(old, field)
        else next(next_number)
        for field in custom_fields
    }
    return Schema.of(new.kind, [replace(field, number=numbers[field.name]) for field in custom_fields])


def needs_new_table(old: Schema, new: Schema) -> bool:
    """Tell whether a change does more than add columns, so that the table must be created anew."""
    return not _grows(old, new)


def _same_type(old: Schema, field: Field) -> bool:
    return _field(old, field.name).same_type(field)


def _grows(old: Schema, new: Schema) -> bool:
    return old.kind == new.kind and all(
        (successor := new.get(field.name)) is not None and successor.same_type(field) for field in old.fields
    )


def _refuse_loss(old: Schema, new: Schema) -> None:
    if old.kind != new.kind:
        raise InvalidArgumentError(
            f"the dataset has datapoints, so its kind stays {_kind(old.kind)} and cannot become {_kind(new.kind)}; "
            "create another dataset"
        )
    removed = [field.name for field in old.fields if new.get(field.name) is None]
    if removed:
        raise InvalidArgumentError(
            f"the dataset has datapoints, so no field can be removed: {_quoted(removed)} would lose data; "
            "send the existing fields too"
        )
    for field in old.fields:
        successor = _field(new, field.name)
        if not successor.same_type(field):
            raise InvalidArgumentError(
                f"the dataset has datapoints, so field {field.name!r} cannot change from ({field}) to ({successor}); "
                "add a field with another name"
            )


def _check_annotations(schema: Schema) -> None:
    for field in schema:
        if field.queryable and (field.repeated or field.kind not in QUERYABLE_KINDS):
            kinds = ", ".join(sorted(kind.value for kind in QUERYABLE_KINDS))
            raise InvalidArgumentError(f"field {field.name!r} cannot be queryable: only single values of {kinds} can")
        if len(set(field.roles)) != len(field.roles) or 0 in field.roles:
            raise InvalidArgumentError(f"field {field.name!r} has a role twice or an unspecified role")
        if max(len(field.description), len(field.example_value)) > MAX_DESCRIPTION_LENGTH:
            raise InvalidArgumentError(
                f"description and example of field {field.name!r} must have at most {MAX_DESCRIPTION_LENGTH} characters"
            )
    strings = [field.name for field in schema if field.queryable and field.kind is FieldKind.STRING]
    if len(strings) > MAX_QUERYABLE_STRINGS:
        raise InvalidArgumentError(
            f"at most {MAX_QUERYABLE_STRINGS} string fields can be queryable, not {len(strings)}: {_quoted(strings)}"
        )


def _field(schema: Schema, name: str) -> Field:
    field = schema.get(name)
    assert field is not None  # noqa: S101 - callers pass names that exist
    return field


def _kind(kind: DatasetKind) -> str:
    return kind.name.lower()


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
