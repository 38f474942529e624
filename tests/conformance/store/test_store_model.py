"""The store against a model of plain dictionaries: any sequence of verbs gives the same results."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.store.records import NOW_US, make_dataset, make_key, make_team

from tilebox.errors import ConflictError, NotFoundError

SLUGS = st.sampled_from(["a.x", "a.y", "a.b.x", "a.b.y", "b.x"])
NAMES = st.sampled_from(["L1C", "L2A", "é"])
TEAMS = st.sampled_from([0, 1])
INDEX = st.integers(0, 9)


class Model(RuleBasedStateMachine):
    """The model. It has two teams, so that every rule may also try records of the other team."""

    portal = store = None

    def __init__(self):
        super().__init__()
        self.teams = [make_team(uuid4().hex) for _ in range(2)]
        self.keys, self.datasets, self.collections, self.numbers = {}, {}, {}, {}
        self.deleted = [uuid4()]
        for team in self.teams:
            self.call("add_team", team)

    def call(self, verb, *args, **kwargs):
        return self.portal.call(lambda: getattr(self.store, verb)(*args, **kwargs))

    def pick(self, records, index):
        """Return the id of a record, which may be a deleted one."""
        known = [*records, *self.deleted]
        return known[index % len(known)]

    def owned(self, records, team, identity):
        record = records.get(identity)
        return record if record and record.team == team.id else None

    @rule(team=TEAMS)
    def add_key(self, team):
        key = make_key(self.teams[team].id, created_us=NOW_US + len(self.keys))
        self.call("add_key", key)
        self.keys[key.id] = key

    @rule(team=TEAMS, index=INDEX, now_us=st.integers(1, 9))
    def revoke_key(self, team, index, now_us):
        identity = self.pick(self.keys, index)
        known = self.owned(self.keys, self.teams[team], identity)
        assert self.call("revoke_key", self.teams[team].id, identity, now_us) is bool(known)
        if known:
            self.keys[identity] = replace(known, revoked_us=known.revoked_us or now_us)

    @rule(index=INDEX, now_us=st.integers(1, 9))
    def touch_key(self, index, now_us):
        identity = self.pick(self.keys, index)
        self.call("touch_key", identity, now_us)
        if known := self.keys.get(identity):
            self.keys[identity] = replace(known, last_used_us=max(known.last_used_us or 0, now_us))

    @rule(team=TEAMS, slug=SLUGS)
    def add_dataset(self, team, slug):
        owner = self.teams[team].id
        group = self.call("ensure_groups", owner, slug.split(".")[:-1])
        dataset = make_dataset(owner, group.id, slug)
        if any((known.team, known.slug) == (owner, slug) for known in self.datasets.values()):
            with pytest.raises(ConflictError):
                self.call("add_dataset", dataset)
        else:
            self.call("add_dataset", dataset)
            self.datasets[dataset.id], self.numbers[dataset.id] = dataset, 0

    @rule(team=TEAMS, index=INDEX, expected=st.integers(1, 3))
    def update_dataset(self, team, index, expected):
        identity = self.pick(self.datasets, index)
        known = self.owned(self.datasets, self.teams[team], identity)
        template = known or make_dataset(self.teams[team].id, uuid4(), "a.x", id=identity)
        change = replace(template, name=f"name {expected}", revision=expected + 1)
        error = None if known and known.revision == expected else ConflictError if known else NotFoundError
        if error:
            with pytest.raises(error):
                self.call("update_dataset", change, expected_revision=expected)
        else:
            self.call("update_dataset", change, expected_revision=expected)
            self.datasets[identity] = change

    @rule(team=TEAMS, index=INDEX)
    def delete_dataset(self, team, index):
        identity = self.pick(self.datasets, index)
        known = self.owned(self.datasets, self.teams[team], identity)
        assert self.call("delete_dataset", self.teams[team].id, identity) is bool(known)
        if known:
            del self.datasets[identity]
            self.deleted.append(identity)
            self.collections = {key: kept for key, kept in self.collections.items() if kept.dataset != identity}

    @rule(team=TEAMS, index=INDEX, name=NAMES)
    def add_collection(self, team, index, name):
        owner, dataset = self.teams[team], self.pick(self.datasets, index)
        arguments = (owner.id, dataset, uuid4(), name, NOW_US)
        if not self.owned(self.datasets, owner, dataset):
            with pytest.raises(NotFoundError):
                self.call("add_collection", *arguments)
        elif any((known.dataset, known.name) == (dataset, name) for known in self.collections.values()):
            with pytest.raises(ConflictError):
                self.call("add_collection", *arguments)
        else:
            collection = self.call("add_collection", *arguments)
            self.numbers[dataset] += 1
            assert (collection.name, collection.number) == (name, self.numbers[dataset])
            self.collections[collection.id] = collection

    @rule(team=TEAMS, index=INDEX)
    def delete_collection(self, team, index):
        identity = self.pick(self.collections, index)
        known = self.owned(self.collections, self.teams[team], identity)
        assert self.call("delete_collection", self.teams[team].id, identity) is bool(known)
        if known:
            del self.collections[identity]
            self.deleted.append(identity)

    @invariant()
    def store_and_model_agree(self):
        for team in self.teams:
            datasets = sorted(self._of(team, self.datasets), key=lambda dataset: dataset.slug)
            assert self.call("datasets", team.id) == datasets
            assert self.call("keys", team.id) == sorted(self._of(team, self.keys), key=lambda key: key.created_us)
            assert {group.slug for group in self.call("groups", team.id)} == self._group_slugs(datasets)
            for dataset in datasets:
                expected = [known for known in self._of(team, self.collections) if known.dataset == dataset.id]
                found = self.call("collections", team.id, dataset.id)
                assert found == sorted(expected, key=lambda collection: collection.name)

    def _of(self, team, records):
        return [record for record in records.values() if record.team == team.id]

    def _group_slugs(self, datasets):
        paths = [dataset.slug.split(".")[:-1] for dataset in datasets]
        return {".".join(path[:length]) for path in paths for length in range(1, len(path) + 1)}


def test_any_sequence_of_verbs_agrees_with_the_model(run_machine):
    run_machine(Model, max_examples=25, stateful_step_count=25)
