# Source of tests/sync/test_catalogue.py, which scripts/unasync.py writes.
"""Datasets and collections: listed, created, changed, found, deleted."""

from __future__ import annotations

import pytest
from worlds.aio import open_client, together

from tilebox.datasets import (
    AuthenticationError,
    ConflictError,
    DatasetKind,
    NotFoundError,
    PermissionDeniedError,
    TransportError,
)

FIELDS = [{"name": "label", "type": str}]


async def test_datasets_by_attribute_and_by_slug(client, filled):
    datasets = await client.datasets()
    dataset = datasets.tests.filled
    assert repr(dataset) == "Filled [Timeseries Dataset]: Numbers"
    assert (dataset.name, dataset.slug, dataset.summary) == ("Filled", filled, "Numbers")
    assert "<code>tests.filled</code>" in dataset._repr_html_()
    assert ">number</td>" in dataset._repr_html_()
    assert "filled" in dir(datasets.tests)
    assert "    filled: Numbers" in repr(datasets)
    assert (await client.dataset(filled)).id == dataset.id
    assert [field.name for field in dataset.schema.custom] == ["number", "label", "center"]
    with pytest.raises(AttributeError, match="No such dataset or dataset group 'fild'; did you mean filled"):
        _ = datasets.tests.fild


async def test_a_wrong_slug_names_close_ones(client, filled):
    with pytest.raises(NotFoundError, match=r"No such dataset tests\.filed; did you mean tests\.filled"):
        await client.dataset("tests.filed")
    with pytest.raises(TypeError, match="the slug of a dataset must be a string, not a int"):
        await client.dataset(5)


async def test_collections_print_as_documented(client, filled):
    collections = await (await client.dataset(filled)).collections()
    even = "even: [2024-01-01T00:00:00.000 UTC, 2024-01-01T00:09:58.000 UTC] (300 data points)"
    assert str(collections).startswith(f"{{'even': Collection {even}, 'odd': Collection odd: [")
    info = await collections["even"].info()
    assert str(info) == even
    assert (info.name, info.count, info.id) == ("even", 300, collections["even"].id)
    assert str(info.availability.start) == "2024-01-01 00:00:00+00:00"


async def test_a_wrong_collection_is_told_in_one_request(either, filled):
    dataset = await either.dataset(filled)
    either.wire.methods.clear()
    with pytest.raises(NotFoundError, match=r"^No such collection Even2; did you mean even\?$") as caught:
        await dataset.collection("Even2")
    assert isinstance(caught.value, KeyError)
    assert either.wire.methods == ["ListCollections"]


async def test_a_dataset_is_created_changed_and_deleted(client, slug):
    created = await client.create_or_update_dataset(DatasetKind.TEMPORAL, slug, FIELDS, name="One", summary="First")
    assert (created.slug, created.name, created.summary) == (slug, "One", "First")
    more = [*FIELDS, {"name": "number", "type": "int32"}]
    changed = await client.create_or_update_dataset(DatasetKind.TEMPORAL, slug, more, description="All about it")
    assert changed.id == created.id
    assert (changed.name, changed.summary, changed.description) == ("One", "First", "All about it")
    assert [field.name for field in (await client.dataset(slug)).schema.custom] == ["label", "number"]
    await client.delete_dataset(changed)
    with pytest.raises(NotFoundError):
        await client.dataset(slug)
    with pytest.raises(NotFoundError):
        await client.delete_dataset(slug)


async def test_a_dataset_without_group_is_found_again(client, slug):
    name = slug.partition(".")[2]
    created = await client.create_or_update_dataset("temporal", name)
    assert created.slug == f"local.{name}"
    assert created.name == name
    again = await client.create_or_update_dataset(DatasetKind.TEMPORAL, name, FIELDS)
    assert again.id == created.id
    await client.delete_dataset(created.id)


async def test_fields_that_data_rules_out_are_refused(client, slug):
    dataset = await client.create_or_update_dataset(DatasetKind.TEMPORAL, slug, FIELDS)
    await (await dataset.create_collection("a")).ingest({"time": ["2024-01-01"], "label": ["x"]})
    with pytest.raises((ConflictError, ValueError), match="label"):
        await client.create_or_update_dataset(DatasetKind.TEMPORAL, slug, [{"name": "label", "type": int}])


async def test_malformed_definitions_are_refused_before_any_request(either):
    with pytest.raises(ValueError, match="code_name"):
        await either.create_or_update_dataset(DatasetKind.TEMPORAL, "No Name")
    with pytest.raises(TypeError, match="a dataset cannot have"):
        await either.create_or_update_dataset(DatasetKind.TEMPORAL, "x", [{"name": "a", "type": object}])
    assert either.wire.methods == []


async def test_a_collection_is_created_and_deleted(client, slug):
    dataset = await client.create_or_update_dataset(DatasetKind.TEMPORAL, slug, FIELDS)
    created = await dataset.create_collection("S2A")
    assert repr(created) == "Collection S2A: <empty> (0 data points)"
    assert (await dataset.get_or_create_collection("S2A")).id == created.id
    assert (await dataset.get_or_create_collection("S2B")).name == "S2B"
    with pytest.raises(ConflictError):
        await dataset.create_collection("S2A")
    assert list(await dataset.collections()) == ["S2A", "S2B"]
    await dataset.delete_collection("S2A")
    with pytest.raises(NotFoundError):
        await created.info()
    with pytest.raises(NotFoundError, match="No such collection S2A"):
        await dataset.delete_collection("S2A")
    await dataset.delete_collection(await dataset.collection("S2B"))
    assert await dataset.collections() == {}


async def test_many_may_want_the_same_collection_at_once(client, slug):
    dataset = await client.create_or_update_dataset(DatasetKind.TEMPORAL, slug, FIELDS)
    found = await together(*[lambda: dataset.get_or_create_collection("same")] * 4)
    assert len({collection.id for collection in found}) == 1


async def test_a_wrong_key_is_an_error_at_the_first_call(paged_server):
    client = open_client(paged_server.url, "invalid-key")
    with pytest.raises(AuthenticationError) as caught:
        await client.datasets()
    assert "invalid-key" not in str(caught.value)
    assert not isinstance(caught.value, PermissionDeniedError)


async def test_without_a_key_the_advice_is_to_give_one(paged_server, monkeypatch):
    monkeypatch.delenv("TILEBOX_API_KEY", raising=False)
    with pytest.raises(AuthenticationError) as caught:
        await open_client(paged_server.url).datasets()
    assert any("TILEBOX_API_KEY" in note for note in caught.value.__notes__)


async def test_an_unreachable_server_is_told_with_advice():
    client = open_client("http://127.0.0.1:9", "key")
    with pytest.raises(TransportError, match=r"DatasetService/ListDatasets at http://127\.0\.0\.1:9: .*check the URL"):
        await client.datasets()
