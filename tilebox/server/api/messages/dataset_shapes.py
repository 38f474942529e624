"""Messages of the wire for datasets, groups and collections."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tilebox._core.protocol.datasets.v1 import core_pb2
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
from tilebox.server.access.keys import Permission

if TYPE_CHECKING:
    from tilebox._core.protocol.datasets.v1 import dataset_type_pb2
    from tilebox._core.schema.fields import Schema
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.datasets.records import Collection, Dataset, Group, Summary


def dataset(record: Dataset, caller: Caller) -> core_pb2.Dataset:
    """Build the message of a dataset, with the permissions of the caller."""
    permissions = [core_pb2.DATASET_PERMISSION_ACCESS_DATA]
    if caller.may(Permission.WRITE):
        permissions.append(core_pb2.DATASET_PERMISSION_WRITE_DATA)
    if caller.may(Permission.MANAGE):
        permissions.append(core_pb2.DATASET_PERMISSION_EDIT)
    return core_pb2.Dataset(
        id=ID(uuid=record.id.bytes),
        group_id=ID(uuid=record.group.bytes),
        type=_type(record.schema),
        code_name=record.code_name,
        name=record.name,
        summary=record.summary,
        icon=record.icon,
        description=record.description,
        permissions=permissions,
        visibility=core_pb2.VISIBILITY_PRIVATE,
        slug=record.slug,
        type_editable=caller.may(Permission.MANAGE),
    )


def group(record: Group) -> core_pb2.DatasetGroup:
    """Build the message of a group of datasets."""
    parent = ID(uuid=record.parent.bytes) if record.parent else None
    return core_pb2.DatasetGroup(
        id=ID(uuid=record.id.bytes), parent_id=parent, code_name=record.code_name, name=record.name
    )


def collection(
    record: Collection, summary: Summary | None = None, *, with_availability: bool = False, with_count: bool = False
) -> core_pb2.CollectionInfo:
    """Build the message of a collection. A collection without datapoints has no availability."""
    info = core_pb2.CollectionInfo(
        collection=core_pb2.Collection(name=record.name, id=ID(uuid=record.id.bytes)),
    )
    if with_count:
        info.count = summary.count if summary else 0
    if with_availability and summary:
        info.availability.start_time.FromMilliseconds(summary.first_ms)
        info.availability.end_time.FromMilliseconds(summary.last_ms)
        info.availability.end_inclusive = True
    return info


@lru_cache(maxsize=1024)
def _type(schema: Schema) -> dataset_type_pb2.AnnotatedType:
    """Build the type of a dataset, with its own file descriptor but without the files that it imports.

    Every client has those files. Some clients add the descriptors to a pool of the whole process, as the official
    Python client does, and fail on another version of a file that the pool has already.
    """
    annotated = schema.to_annotated_type()
    del annotated.descriptor_set.file[:-1]
    return annotated
