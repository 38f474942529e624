# Source of tilebox/sync/datasets/client.py, which scripts/unasync.py writes.
"""The client of Tilebox datasets."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any

from tilebox._core.queries import dataset_calls
from tilebox._core.schema import definitions, tree
from tilebox._core.schema.catalogue import DatasetInfo
from tilebox._core.values import ids
from tilebox._core.wire.config import Config
from tilebox.aio.datasets.dataset import TimeseriesDataset, missing
from tilebox.aio.transport import Transport
from tilebox.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    import httpx

    from tilebox._core.schema.fields import DatasetKind, Field
    from tilebox._core.schema.tree import Group

_log = logging.getLogger("tilebox.datasets")
_STYLE_TAG = re.compile(r"\[/?[a-z]+\]")


class Client:
    """A client of Tilebox datasets.

    Makes no request before the first call, needs no closing, and may be shared by threads and event loops.

    Args:
        url: Where the server is. By default the environment variable `TILEBOX_API_URL`, or else
            https://api.tilebox.com.
        token: The API key. By default the environment variable `TILEBOX_API_KEY`. Without one, only open data
            can be read.
        http_client: An `httpx.Client` of yours (for the async client an `httpx.AsyncClient`), whose time-outs,
            proxies, certificates, event hooks and transports apply to every call. You close it; an
            `httpx.AsyncClient` belongs to one event loop. By default the client opens and closes one of its own.

    Raises:
        ValueError: The URL or the key is malformed.
        TypeError: `http_client` is not an HTTP client of this kind.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, http_client: httpx.AsyncClient | None = None
    ) -> None:
        self._transport = Transport(Config.resolve(url, token, os.environ), http_client=http_client)

    async def datasets(self) -> Group:
        """List all datasets.

        Returns:
            The datasets, by attributes: `datasets.open_data.copernicus.sentinel1_sar`.

        Raises:
            AuthenticationError: The API key is not valid.
        """
        return tree.build(await self._by_slug())

    async def dataset(self, slug: str) -> TimeseriesDataset:
        """Get a dataset.

        Args:
            slug: Its dotted path, such as `open_data.copernicus.sentinel1_sar`.

        Raises:
            NotFoundError: There is none of that slug; the message names close ones.
        """
        if not isinstance(slug, str):
            raise TypeError(f"a dataset is named by its slug, a string, not by a {type(slug).__name__}")
        try:
            answer = await self._transport.call(dataset_calls.get_dataset(slug))
        except NotFoundError:
            raise missing(slug, await self._by_slug()) from None
        return TimeseriesDataset(self._transport, DatasetInfo.from_wire(answer))

    async def create_or_update_dataset(
        self,
        kind: DatasetKind,
        code_name: str,
        fields: Iterable[Mapping[str, Any] | Field] | None = None,
        *,
        name: str | None = None,
        summary: str | None = None,
        description: str | None = None,
    ) -> TimeseriesDataset:
        """Create a dataset, or change the one of this code name.

        Args:
            kind: Whether datapoints have a time, or a time and a footprint.
            code_name: The dataset's name in code. Dots put it into groups: `group.name`.
            fields: The fields beyond those that every dataset has, each a dict with `name` and `type` and perhaps
                `description`, `example_value`, `queryable`, `source_json_pointer`, `json_schema_ref`, `roles`.
                Types are Python types, numpy types, protobuf messages, their names, and lists of these.
            name: What people call it; by default its code name.
            summary: One line about it.
            description: All about it, as Markdown.

        Returns:
            The dataset.

        Raises:
            ValueError: A field or name makes no sense.
            TypeError: A type is nothing that a dataset can hold.
            InvalidArgumentError: The dataset has datapoints, which do not fit the new fields; nothing is changed.
        """
        schema = definitions.schema(definitions.parse_kind(kind), fields)
        definitions.check_code_name(code_name)
        call = dataset_calls.create_dataset(
            code_name, schema, name or code_name.rpartition(".")[2], summary, description
        )
        try:
            answer = await self._transport.call(call)
        except ConflictError:
            existing = await self._owned(code_name)
            if existing is None:
                raise
            answer = await self._transport.call(
                dataset_calls.update_dataset(existing.id, schema, name, summary, description)
            )
        return TimeseriesDataset(self._transport, DatasetInfo.from_wire(answer))

    async def delete_dataset(self, dataset: TimeseriesDataset | str | UUID) -> None:
        """Delete a dataset with all its collections and datapoints.

        Args:
            dataset: The dataset, its slug or its id.

        Raises:
            NotFoundError: There is no such dataset.
        """
        if isinstance(dataset, str):
            dataset = await self.dataset(dataset)
        identity = dataset.id if isinstance(dataset, TimeseriesDataset) else ids.parse(dataset, name="dataset id")
        await self._transport.call(dataset_calls.delete_dataset(identity))

    async def _by_slug(self) -> dict[str, TimeseriesDataset]:
        answer = await self._transport.call(dataset_calls.list_datasets())
        if answer.server_message:
            _log.info("%s", _STYLE_TAG.sub("", answer.server_message))
        infos = map(DatasetInfo.from_wire, answer.datasets)
        return {info.slug: TimeseriesDataset(self._transport, info) for info in infos}

    async def _owned(self, code_name: str) -> TimeseriesDataset | None:
        """Return the dataset that a code name without its team's slug means, or None."""
        datasets = await self._by_slug()
        if code_name in datasets:
            return datasets[code_name]
        # Undotted, it stands right below the team: `team.name`, not `team.group.name`.
        found = [slug for slug in datasets if slug.partition(".")[2] == code_name]
        return datasets[found[0]] if len(found) == 1 else None

    def __repr__(self) -> str:
        return f"Client(url={self._transport.config.url!r})"
