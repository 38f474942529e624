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
    """A client for Tilebox datasets.

    Creating a client makes no request. A client needs no closing, and threads and event loops may share it.

    Args:
        url: The URL of the server. Defaults to the environment variable `TILEBOX_API_URL`, or else to
            https://api.tilebox.com.
        token: The API key. Defaults to the environment variable `TILEBOX_API_KEY`. Without a key, the hosted service
            offers only open data.
        http_client: Your own `httpx.Client` (or `httpx.AsyncClient` for the async client). Its time-outs, proxies,
            certificates, event hooks and transports apply to every call. You close it; an `httpx.AsyncClient`
            belongs to one event loop. By default the client opens and closes an HTTP client itself.

    Raises:
        ValueError: The URL or the key is malformed.
        TypeError: `http_client` is not an HTTP client of the right kind.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, http_client: httpx.AsyncClient | None = None
    ) -> None:
        self._transport = Transport(Config.resolve(url, token, os.environ), http_client=http_client)

    async def datasets(self) -> Group:
        """Fetch all datasets that the API key can access.

        Returns:
            The datasets, accessible by dotted attributes: `datasets.open_data.copernicus.sentinel1_sar`. Printing
            it shows them as a tree.

        Raises:
            AuthenticationError: The API key is not valid.
        """
        return tree.build(await self._by_slug())

    async def dataset(self, slug: str) -> TimeseriesDataset:
        """Get a dataset by its slug.

        Args:
            slug: The slug of the dataset, such as `open_data.copernicus.sentinel1_sar`.

        Returns:
            The dataset.

        Raises:
            NotFoundError: The dataset does not exist; the message suggests similar slugs.
            TypeError: The slug is not a string.
        """
        if not isinstance(slug, str):
            raise TypeError(f"the slug of a dataset must be a string, not a {type(slug).__name__}")
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
        """Create a dataset, or update the existing dataset with this code name.

        Args:
            kind: `DatasetKind.TEMPORAL` for datapoints with a time, or `DatasetKind.SPATIOTEMPORAL` for datapoints
                with a time and a geometry.
            code_name: The name of the dataset in code. Dots put it into groups: `group.name`.
            fields: The custom fields. Each is a dict with `name` and `type`, and optionally `description`,
                `example_value`, `queryable`, `source_json_pointer`, `json_schema_ref` and `roles`. A type is a Python
                type, a numpy type, a protobuf message, the name of one of these, or a list of one.
            name: The display name. Defaults to the last part of the code name.
            summary: A summary in one line.
            description: The description in Markdown.

        Returns:
            The created or updated dataset.

        Raises:
            ValueError: A name or a field is malformed.
            TypeError: A dataset cannot have a field of this type.
            InvalidArgumentError: Existing datapoints do not fit the new fields. The dataset is not changed.
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
            NotFoundError: The dataset does not exist.
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
        """Return the dataset with a code name, which may lack the slug of the team; None if there is none."""
        datasets = await self._by_slug()
        if code_name in datasets:
            return datasets[code_name]
        # A code name without dots is directly below the team: `team.name`, not `team.group.name`.
        slugs = [slug for slug in datasets if slug.partition(".")[2] == code_name]
        return datasets[slugs[0]] if len(slugs) == 1 else None

    def __repr__(self) -> str:
        return f"Client(url={self._transport.config.url!r})"
