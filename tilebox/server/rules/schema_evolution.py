"""How a dataset's type may be given and changed: the rules, without any store.

Once a dataset has datapoints, its type may only grow: fields may be added at the end, and what is said
about a field (description, example, whether filters may name it) may change. What would lose or
reinterpret stored values is refused. A dataset without datapoints may become anything.
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


def requested(message: DatasetType) -> Schema:
    """Read and check the type that a request asks for.

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


def named(schema: Schema, dataset: UUID, revision: int, code_name: str) -> Schema:
    """Return a schema under the message name of a dataset's revision.

    Clients register types by name once a process; a name of its own for every revision is what lets
    them see a changed type without a restart.
    """
    camel = "".join(part.capitalize() for part in code_name.rpartition(".")[2].split("_"))
    return replace(schema, type_name=f"tilebox.u{dataset.hex}.r{revision}.{camel}")


def evolved(old: Schema, new: Schema, *, has_data: bool) -> Schema:
    """Return the schema that takes the place of `old` when `new` is asked for.

    A field of the same name and type keeps its number. No other field gets a number that is taken, so that
    what a client with the old type still sends cannot be read as something else. Where there are
    datapoints, old fields keep their place too, and new ones follow.

    Raises:
        InvalidArgumentError: The dataset has datapoints and the change would lose some of them.
    """
    if has_data:
        _refuse_loss(old, new)
    standard = {field.name: field.number for field in Schema.of(new.kind)}
    order = [field.name for field in (*old.fields, *new.fields)] if _grows(old, new) else [field.name for field in new]
    custom = [_of(new, name) for name in dict.fromkeys(order) if name not in standard]
    following = count(max(field.number for field in (*old.fields, *Schema.of(new.kind))) + 1)
    kept = {field.name: field.number for field in old if field.number not in standard.values()}
    numbers = {
        field.name: kept[field.name] if field.name in kept and _same_type(old, field) else next(following)
        for field in custom
    }
    return Schema.of(new.kind, [replace(field, number=numbers[field.name]) for field in custom])


def needs_new_table(old: Schema, new: Schema) -> bool:
    """Tell whether stored columns would have to change rather than be joined by others."""
    return not _grows(old, new)


def _same_type(old: Schema, field: Field) -> bool:
    return _of(old, field.name).same_type(field)


def _grows(old: Schema, new: Schema) -> bool:
    return old.kind == new.kind and all(
        (successor := new.get(field.name)) is not None and successor.same_type(field) for field in old.fields
    )


def _refuse_loss(old: Schema, new: Schema) -> None:
    if old.kind != new.kind:
        raise InvalidArgumentError(
            f"the dataset has datapoints, so its kind stays {_kind(old.kind)} and cannot become {_kind(new.kind)}"
        )
    removed = [field.name for field in old.fields if new.get(field.name) is None]
    if removed:
        raise InvalidArgumentError(
            f"the dataset has datapoints, so no field can be removed: {_quoted(removed)} would lose data; "
            "send all fields, those that exist included"
        )
    for field in old.fields:
        successor = _of(new, field.name)
        if not successor.same_type(field):
            raise InvalidArgumentError(
                f"the dataset has datapoints, so field {field.name!r} cannot change from ({field}) to ({successor}); "
                "add a field of another name"
            )


def _check_annotations(schema: Schema) -> None:
    for field in schema:
        if field.queryable and (field.repeated or field.kind not in QUERYABLE_KINDS):
            kinds = ", ".join(sorted(kind.value for kind in QUERYABLE_KINDS))
            raise InvalidArgumentError(f"field {field.name!r} cannot be queryable: only single values of {kinds} can")
        if len(set(field.roles)) != len(field.roles) or 0 in field.roles:
            raise InvalidArgumentError(f"field {field.name!r} has a role twice or an unspecified one")
        if max(len(field.description), len(field.example_value)) > MAX_DESCRIPTION_LENGTH:
            raise InvalidArgumentError(
                f"field {field.name!r} is described by more than {MAX_DESCRIPTION_LENGTH} characters"
            )
    strings = [field.name for field in schema if field.queryable and field.kind is FieldKind.STRING]
    if len(strings) > MAX_QUERYABLE_STRINGS:
        raise InvalidArgumentError(
            f"at most {MAX_QUERYABLE_STRINGS} string fields can be queryable, not {len(strings)}: {_quoted(strings)}"
        )


def _of(schema: Schema, name: str) -> Field:
    field = schema.get(name)
    assert field is not None  # noqa: S101 - callers have looked
    return field


def _kind(kind: DatasetKind) -> str:
    return kind.name.lower()


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
