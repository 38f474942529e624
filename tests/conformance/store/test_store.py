"""The conformance suite of the store, verb by verb, on every database."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from support.store.records import NOW_US, add_dataset, make_dataset, make_key, make_schema, make_team, opened

from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError, ServerError

pytestmark = pytest.mark.anyio


async def test_a_store_without_tables_says_how_to_create_them(database_url):
    async with opened(database_url) as store:
        with pytest.raises(ServerError, match=r"has no tables .*tilebox serve"):
            await store.teams()


async def test_a_closed_store_says_so_and_may_be_closed_again(store):
    await store.close()
    await store.close()
    with pytest.raises(ServerError, match="closed"):
        await store.ping()
    with pytest.raises(ServerError, match="closed"):
        await store.add_team(make_team("late"))


async def test_everything_survives_a_restart(store, team, database_url):
    key = make_key(team.id)
    await store.add_key(key)
    dataset = await add_dataset(store, team.id, "open_data.scenes")
    collection = await store.add_collection(team.id, dataset.id, uuid4(), "L1C", NOW_US)
    await store.close()

    async with opened(database_url) as reopened:
        await reopened.migrate()
        await reopened.ping()
        assert await reopened.teams() == [team]
        assert await reopened.keys(team.id) == [key]
        assert await reopened.datasets(team.id) == [dataset]
        assert await reopened.collections(team.id, dataset.id) == [collection]


async def test_teams_come_oldest_first(store):
    younger, older = make_team("younger", created_us=2), make_team("older", created_us=1)
    await store.add_team(younger)
    await store.add_team(older)
    assert await store.teams() == [older, younger]


async def test_a_team_slug_is_unique(store, team):
    with pytest.raises(ConflictError, match="'local' exists already"):
        await store.add_team(make_team("local"))
    assert await store.teams() == [team]


async def test_a_key_is_found_by_its_digest(store, team):
    key = make_key(team.id, expires_us=NOW_US + 5)
    await store.add_key(key)
    assert await store.key_by_digest(key.digest) == key
    assert await store.key_by_digest(bytes(32)) is None


async def test_keys_come_oldest_first(store, team):
    younger, older = make_key(team.id, created_us=2), make_key(team.id, created_us=1)
    await store.add_key(younger)
    await store.add_key(older)
    assert await store.keys(team.id) == [older, younger]


async def test_a_key_is_stored_once_and_for_a_team_that_exists(store, team):
    key = make_key(team.id)
    await store.add_key(key)
    with pytest.raises(ConflictError, match="make a new one"):
        await store.add_key(make_key(team.id, digest=key.digest))
    with pytest.raises(NotFoundError, match="no team"):
        await store.add_key(make_key(uuid4()))
    assert await store.keys(team.id) == [key]


@pytest.mark.parametrize("changes", [{"role": "root"}, {"digest": b"short"}])
async def test_the_database_refuses_an_invalid_key(store, team, changes):
    with pytest.raises(InvalidArgumentError, match="refused a value"):
        await store.add_key(make_key(team.id, **changes))
    assert await store.keys(team.id) == []


async def test_a_revoked_key_keeps_its_first_time(store, team):
    key = make_key(team.id)
    await store.add_key(key)
    assert await store.revoke_key(team.id, key.id, NOW_US + 1)
    assert await store.revoke_key(team.id, key.id, NOW_US + 2)
    assert await store.key_by_digest(key.digest) == replace(key, revoked_us=NOW_US + 1)
    assert not await store.revoke_key(team.id, uuid4(), NOW_US)


async def test_the_last_use_of_a_key_never_goes_back(store, team):
    key = make_key(team.id)
    await store.add_key(key)
    await store.touch_key(key.id, NOW_US + 9)
    await store.touch_key(key.id, NOW_US + 3)
    await store.touch_key(uuid4(), NOW_US)
    assert await store.keys(team.id) == [replace(key, last_used_us=NOW_US + 9)]


async def test_missing_groups_of_a_path_are_created_once(store, team):
    leaf = await store.ensure_groups(team.id, ["open_data", "copernicus", "sentinel2"])
    assert (leaf.slug, leaf.code_name, leaf.team) == ("open_data.copernicus.sentinel2", "sentinel2", team.id)
    sibling = await store.ensure_groups(team.id, ["open_data", "asf"])
    assert await store.ensure_groups(team.id, ["open_data", "copernicus", "sentinel2"]) == leaf

    groups = await store.groups(team.id)
    assert [group.slug for group in groups] == [
        "open_data",
        "open_data.asf",
        "open_data.copernicus",
        "open_data.copernicus.sentinel2",
    ]
    root, _, middle, _ = groups
    assert (root.parent, sibling.parent, middle.parent, leaf.parent) == (None, root.id, root.id, middle.id)


@pytest.mark.parametrize("path", [[], [""], ["a", ""], ["a.b"]])
async def test_a_group_path_needs_names(store, team, path):
    with pytest.raises(InvalidArgumentError, match="group path"):
        await store.ensure_groups(team.id, path)
    assert await store.groups(team.id) == []


async def test_groups_need_a_team(store):
    with pytest.raises(NotFoundError, match="no team"):
        await store.ensure_groups(uuid4(), ["a"])


@pytest.mark.parametrize(
    "schema",
    [
        make_schema(),
        Schema.of(DatasetKind.TEMPORAL, (), "tilebox.u00.r1.Plain"),
        Schema.of(
            DatasetKind.TEMPORAL,
            [
                Field(
                    name="sun", kind=FieldKind.VEC3, type_name="datasets.v1.Vec3", description="Where ☀ is", roles=(1,)
                ),
                Field(name="count", kind=FieldKind.UINT64, source_json_pointer="/n", json_schema_ref="https://x/y"),
            ],
            "tilebox.u00.r2.Rich",
        ),
    ],
    ids=["spatio-temporal", "plain", "rich"],
)
async def test_a_dataset_is_returned_unchanged(store, team, schema):
    dataset = await add_dataset(store, team.id, "local.scenes", schema=schema)
    assert await store.dataset(team.id, dataset.id) == dataset
    assert await store.dataset_by_slug(team.id, "local.scenes") == dataset
    assert await store.dataset_by_slug(team.id, "local.other") is None
    assert await store.dataset(team.id, uuid4()) is None


async def test_datasets_are_ordered_by_slug_in_code_point_order(store, team):
    slugs = ["b.z", "a.b", "a_b.c", "a.B", "a.é", "a.b_c", "A.z"]
    for slug in slugs:
        await add_dataset(store, team.id, slug)
    assert [dataset.slug for dataset in await store.datasets(team.id)] == sorted(slugs)


async def test_a_dataset_slug_is_unique(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    with pytest.raises(ConflictError, match=r"'local.scenes' exists already"):
        await store.add_dataset(make_dataset(team.id, dataset.group, "local.scenes"))
    assert await store.datasets(team.id) == [dataset]


async def test_a_dataset_needs_a_group(store, team):
    with pytest.raises(NotFoundError, match="group"):
        await store.add_dataset(make_dataset(team.id, uuid4(), "local.scenes"))
    assert await store.datasets(team.id) == []


async def test_an_update_replaces_the_parts_that_may_change(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    changed = replace(
        dataset,
        name="Images",
        summary="",
        description="new",
        icon="",
        revision=2,
        schema=make_schema("tilebox.u00.r2.Scenes"),
    )
    await store.update_dataset(replace(changed, created_us=0), expected_revision=1)
    assert await store.dataset(team.id, dataset.id) == changed


async def test_an_update_refuses_a_dataset_that_was_changed_or_deleted(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes", revision=3)
    with pytest.raises(ConflictError, match="meanwhile"):
        await store.update_dataset(replace(dataset, revision=5), expected_revision=4)
    with pytest.raises(NotFoundError, match="was deleted"):
        await store.update_dataset(replace(dataset, id=uuid4()), expected_revision=3)
    assert await store.datasets(team.id) == [dataset]


async def test_deleting_a_dataset_deletes_its_collections_and_empty_groups(store, team):
    kept = await add_dataset(store, team.id, "open_data.asf.ers")
    dataset = await add_dataset(store, team.id, "open_data.copernicus.sentinel.scenes")
    collection = await store.add_collection(team.id, dataset.id, uuid4(), "L1C", NOW_US)

    assert await store.delete_dataset(team.id, dataset.id)
    assert not await store.delete_dataset(team.id, dataset.id)
    assert await store.collection(team.id, collection.id) is None
    assert await store.datasets(team.id) == [kept]
    assert [group.slug for group in await store.groups(team.id)] == ["open_data", "open_data.asf"]
    assert await store.delete_dataset(team.id, kept.id)
    assert await store.groups(team.id) == []


async def test_a_group_with_groups_but_no_datasets_stays(store, team):
    dataset = await add_dataset(store, team.id, "a.scenes")
    await store.ensure_groups(team.id, ["a", "empty"])
    assert await store.delete_dataset(team.id, dataset.id)
    assert [group.slug for group in await store.groups(team.id)] == ["a", "a.empty"]


async def test_a_collection_is_returned_unchanged(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    identity = uuid4()
    collection = await store.add_collection(team.id, dataset.id, identity, "L1C", NOW_US)
    assert (collection.id, collection.name, collection.number, collection.created_us) == (identity, "L1C", 1, NOW_US)
    assert await store.collection(team.id, identity) == collection
    assert await store.collection_with_dataset(team.id, identity) == (collection, dataset)
    assert await store.collection_with_dataset(team.id, uuid4()) is None
    assert await store.collection_by_name(team.id, dataset.id, "L1C") == collection
    assert await store.collection_by_name(team.id, dataset.id, "l1c") is None
    assert await store.collection_by_name(team.id, uuid4(), "L1C") is None


async def test_collections_are_ordered_by_name_in_code_point_order(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    names = ["b", "B", "a-1", "a_1", "a 1", "é", "Z"]
    for name in names:
        await store.add_collection(team.id, dataset.id, uuid4(), name, NOW_US)
    assert [collection.name for collection in await store.collections(team.id, dataset.id)] == sorted(names)


async def test_a_collection_number_is_never_used_again(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    first = await store.add_collection(team.id, dataset.id, uuid4(), "a", NOW_US)
    second = await store.add_collection(team.id, dataset.id, uuid4(), "b", NOW_US)
    assert await store.delete_collection(team.id, second.id)
    assert not await store.delete_collection(team.id, second.id)
    third = await store.add_collection(team.id, dataset.id, uuid4(), "b", NOW_US)
    assert [first.number, second.number, third.number] == [1, 2, 3]


async def test_a_refused_collection_uses_no_number(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    await store.add_collection(team.id, dataset.id, uuid4(), "a", NOW_US)
    with pytest.raises(ConflictError, match="'a' exists already"):
        await store.add_collection(team.id, dataset.id, uuid4(), "a", NOW_US)
    with pytest.raises(NotFoundError, match="no dataset"):
        await store.add_collection(team.id, uuid4(), uuid4(), "b", NOW_US)
    with pytest.raises(InvalidArgumentError, match="refused a value"):
        await store.add_collection(team.id, dataset.id, uuid4(), "", NOW_US)
    assert (await store.add_collection(team.id, dataset.id, uuid4(), "b", NOW_US)).number == 2


async def test_each_dataset_numbers_its_own_collections(store, team):
    for slug in ("local.a", "local.b"):
        dataset = await add_dataset(store, team.id, slug)
        assert (await store.add_collection(team.id, dataset.id, uuid4(), "same", NOW_US)).number == 1


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_text_that_one_database_cannot_store_is_refused_by_both(store, team, text):
    dataset = await add_dataset(store, team.id, "local.scenes")
    for attempt in (
        store.add_collection(team.id, dataset.id, uuid4(), text, NOW_US),
        store.collection_by_name(team.id, dataset.id, text),
        store.update_dataset(replace(dataset, description=text, revision=2), expected_revision=1),
        store.ensure_groups(team.id, [text]),
    ):
        with pytest.raises(InvalidArgumentError, match="NUL"):
            await attempt
    assert await store.datasets(team.id) == [dataset]


async def test_names_cannot_inject_sql(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    name = "'); DROP TABLE collections; -- %s :name %(name)s"
    created = await store.add_collection(team.id, dataset.id, uuid4(), name, NOW_US)
    assert await store.collections(team.id, dataset.id) == [created]


async def test_no_verb_reads_or_changes_another_team(store, team, stranger):
    key = make_key(team.id)
    await store.add_key(key)
    dataset = await add_dataset(store, team.id, "local.scenes")
    collection = await store.add_collection(team.id, dataset.id, uuid4(), "L1C", NOW_US)
    groups = await store.groups(team.id)
    outsider = stranger.id

    assert await store.keys(outsider) == []
    assert await store.groups(outsider) == []
    assert await store.datasets(outsider) == []
    assert await store.dataset(outsider, dataset.id) is None
    assert await store.dataset_by_slug(outsider, dataset.slug) is None
    assert await store.collection(outsider, collection.id) is None
    assert await store.collection_with_dataset(outsider, collection.id) is None
    assert await store.collection_by_name(outsider, dataset.id, "L1C") is None
    assert await store.collections(outsider, dataset.id) == []
    assert await store.revoke_key(outsider, key.id, NOW_US) is False
    assert await store.delete_collection(outsider, collection.id) is False
    assert await store.delete_dataset(outsider, dataset.id) is False
    with pytest.raises(NotFoundError):
        await store.add_collection(outsider, dataset.id, uuid4(), "mine", NOW_US)
    with pytest.raises(NotFoundError):
        await store.update_dataset(replace(dataset, team=outsider, revision=2), expected_revision=1)
    with pytest.raises(NotFoundError):
        await store.add_dataset(make_dataset(outsider, dataset.group, "local.intruder"))
    with pytest.raises(ConflictError):
        await store.add_key(make_key(outsider, id=key.id))

    # The attempts changed nothing, and the other team can use the same names.
    assert await store.keys(team.id) == [key]
    assert await store.groups(team.id) == groups
    assert await store.datasets(team.id) == [dataset]
    assert await store.collections(team.id, dataset.id) == [collection]
    own = await add_dataset(store, outsider, "local.scenes")
    assert await store.datasets(outsider) == [own]
    assert {found.id for found in await store.all_datasets()} == {dataset.id, own.id}


async def test_all_datasets_returns_those_of_all_teams(store, team, stranger):
    made = [await add_dataset(store, owner.id, slug) for owner in (team, stranger) for slug in ("x.b", "x.a")]
    assert await store.all_datasets() == sorted(made, key=lambda dataset: (dataset.team.bytes, dataset.slug))
