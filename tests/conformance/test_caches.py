"""The conformance suite of job caches: in memory, in files and in buckets, for both clients."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.caches.buckets import MANY, gcs_url, s3_url
from support.caches.worlds import BACK_ENDS, WORLDS, make_cache, opened_cache

__all__ = ["gcs_url", "s3_url"]


@pytest.fixture(scope="module", params=[f"{back_end}-{world}" for back_end in BACK_ENDS for world in WORLDS])
def root_cache(request):
    """A cache of each kind, shared by all tests, as by all jobs."""
    back_end, world = request.param.split("-")
    with opened_cache(request, world, back_end) as cache:
        yield cache


@pytest.fixture
def cache(root_cache, request):
    """The group of one test, as a runner creates one for each job."""
    return root_cache.group(request.node.originalname)


def test_a_value_that_was_set_is_returned(cache):
    assert cache.get("a") is None
    assert cache.get("a", b"other") == b"other"
    assert not cache.contains("a")
    cache.set("a", b"1")
    assert cache.get("a") == b"1"
    assert cache.get("a", b"other") == b"1"
    assert cache.contains("a")
    cache.set("a", b"2")
    assert cache.get("a") == b"2"


@pytest.mark.parametrize("value", [b"", b"\x00\xff", bytes(range(256)) * 4096], ids=["empty", "two", "a megabyte"])
def test_values_are_returned_unchanged(cache, value):
    cache.set("value", value)
    assert cache.get("value") == value
    assert cache.contains("value")


def test_other_buffers_are_stored_as_bytes(cache):
    cache.set("a", bytearray(b"one"))
    cache.set("b", memoryview(b"tawdo")[::2])
    assert (cache.get("a"), cache.get("b")) == (b"one", b"two")
    assert type(cache.get("a")) is bytes


@pytest.mark.parametrize("value", ["text", None, 1, {"a": 1}])
def test_only_bytes_are_stored(cache, value):
    with pytest.raises(TypeError, match="a cache stores bytes"):
        cache.set("not-bytes", value)
    assert not cache.contains("not-bytes")


def test_deleting(cache):
    cache.set("a", b"1")
    cache.delete("a")
    assert cache.get("a") is None
    assert cache.keys() == []
    with pytest.raises(KeyError, match="a is not cached!"):
        cache.delete("a")
    with pytest.raises(KeyError, match="no/such is not cached!"):
        cache.delete("no/such")
    cache.set("a", b"2")
    assert cache.get("a") == b"2"


def test_groups_nest_and_slashes_reach_into_them(cache):
    group = cache.group("some-group")
    group.set("value", b"my-value")
    group.group("nested").set("value", b"nested-value")
    assert cache.get("some-group/nested/value") == b"nested-value"
    assert cache.get("some-group/value") == b"my-value"
    assert cache.group("some-group/nested").get("value") == b"nested-value"
    cache.set("some-group/nested/other/deep", b"deep")
    assert group.group("nested/other").get("deep") == b"deep"


def test_iteration_yields_direct_keys_in_order(cache):
    for key in ["b", "a", "Z", "é", "a b", "g/inner", "g/h/deep", "b.txt", "日本", "10", "9"]:
        cache.set(key, b"x")
    assert cache.keys() == sorted(["b", "a", "Z", "é", "a b", "b.txt", "日本", "10", "9"])
    assert cache.group("g").keys() == ["inner"]
    assert cache.group("g/h").keys() == ["deep"]
    assert cache.group("no-such").keys() == []
    assert cache.group("no/such").keys() == []


def test_groups_with_a_common_prefix_are_separate(cache):
    cache.set("g/a", b"1")
    cache.set("gg/b", b"2")
    cache.set("g.x", b"3")
    assert cache.group("g").keys() == ["a"]
    assert cache.keys() == ["g.x"]


@pytest.mark.parametrize("order", [["a", "a/b"], ["a/b/c", "a", "a/b"], ["a", "a/b", "a/b/c"]])
def test_a_key_and_a_group_may_have_the_same_name(cache, order):
    cache = cache.group("-then-".join(order).replace("/", "_"))
    for key in order:
        cache.set(key, key.encode())
    for key in order:
        assert cache.get(key) == key.encode()
        assert cache.contains(key)
    assert cache.keys() == ["a"]
    assert cache.group("a").keys() == ["b"]
    cache.set("a", b"changed")
    assert cache.get("a") == b"changed"
    for key in order:
        cache.delete(key)
        assert cache.get(key) is None
        assert not cache.contains(key)
    assert cache.keys() == []
    assert cache.group("a").keys() == []


def test_a_group_without_a_value_is_not_a_key(cache):
    cache.set("g/a", b"1")
    assert cache.get("g") is None
    assert not cache.contains("g")
    with pytest.raises(KeyError):
        cache.delete("g")
    assert cache.get("g/a") == b"1"
    assert cache.get("g/a/b") is None
    with pytest.raises(KeyError):
        cache.delete("g/a/b")


HOSTILE = [
    "",
    "..",
    "../other/a",
    "a/../../b",
    "/etc/passwd",
    "a//b",
    "a/",
    "a\\b",
    "C:x",
    "a\x00b",
    "x" * 256,
    "\ud800",
]


def test_no_key_escapes_its_group(root_cache, cache):
    root_cache.set("other/a", b"another job's")
    for key in HOSTILE:
        for attempt in (cache.get, cache.contains, cache.delete, cache.group, lambda key: cache.set(key, b"1")):
            with pytest.raises(ValueError, match="cache key"):
                attempt(key)
    assert root_cache.get("other/a") == b"another job's"


def test_keys_are_text(cache):
    for attempt in (cache.get, cache.contains, cache.delete, cache.group, lambda key: cache.set(key, b"1")):
        with pytest.raises(TypeError, match="a cache key must be a str"):
            attempt(1)


def test_equivalent_unicode_spellings_are_one_key(cache):
    cache.set("cafe\u0301", b"1")
    assert cache.get("caf\u00e9") == b"1"
    assert cache.keys() == ["caf\u00e9"]


UNUSUAL = ["%2e%2e", "%2F", "a b+c", "a?b", "a#b", "a&b=c", "a*b", "[a]", "~", "'\"", "x" * 255, "...", "\u2028", "🛰️"]


def test_unusual_keys_work_like_others(cache):
    for key in UNUSUAL:
        cache.set(key, key.encode())
        cache.set(f"{key}/{key}", b"inner")
    assert cache.keys() == sorted(UNUSUAL)
    for key in UNUSUAL:
        assert cache.get(key) == key.encode()
        assert cache.group(key).get(key) == b"inner"
    assert cache.group(UNUSUAL[0]).keys() == [UNUSUAL[0]]


def test_the_longest_key_fits(cache):
    key = "/".join(["x" * 199] * 4)
    cache.set(key, b"1")
    assert cache.get(key) == b"1"


def test_values_are_deleted_while_iterating(cache):
    for number in range(5):
        cache.set(f"k{number}", b"x")
    for key in cache.keys():  # noqa: SIM118 a list
        cache.delete(key)
    assert cache.keys() == []


def test_a_cache_is_pickled_and_copied(root_cache, cache):
    cache.set("a", b"1")
    if "InMemoryCache" in repr(root_cache.cache):
        for transfer in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be sent to another process"):
                transfer(cache.cache)
        return
    for transferred in (pickle.loads(pickle.dumps(cache.cache)), copy.copy(cache.cache), copy.deepcopy(cache.cache)):
        arrived = cache.again(transferred)
        assert arrived.get("a") == b"1"
        assert arrived.keys() == ["a"]


@pytest.mark.parametrize("back_end", ["s3", "gcs"])
@pytest.mark.parametrize("world", WORLDS)
def test_a_listing_of_several_pages(request, world, back_end):
    with opened_cache(request, world, back_end, "seeded") as cache:
        assert cache.group("many").keys() == MANY


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_threads_share_a_cache(request, back_end):
    cache = make_cache(request, "sync", back_end)
    start = threading.Barrier(6)

    def work(number):
        start.wait()
        for round_ in range(3):
            cache[f"mine/{number}"] = f"{number}-{round_}".encode()
            cache["ours"] = b"x" * 1000 * number
            assert cache[f"mine/{number}"] == f"{number}-{round_}".encode()
            assert len(cache["ours"]) % 1000 == 0
            cache[f"ours/{number}"] = b""

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert list(cache) == ["ours"]
    assert list(cache.group("mine")) == list(cache.group("ours")) == [str(number) for number in range(6)]


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_the_sync_cache_works_like_a_dict(request, back_end):
    cache = make_cache(request, "sync", back_end)
    assert len(cache) == 0
    assert cache
    cache["a"] = b"1"
    cache["g/b"] = b"2"
    assert cache["a"] == b"1"
    assert "a" in cache
    assert "g" not in cache
    assert list(cache) == list(cache.keys()) == ["a"]
    assert len(cache) == 1
    assert "group 'g'" in repr(cache.group("g"))
    del cache["a"]
    with pytest.raises(KeyError, match="a is not cached!"):
        cache["a"]
    with pytest.raises(KeyError, match="a is not cached!"):
        del cache["a"]


NAMES = st.sampled_from(["a", "b", "ab", "B", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
EXAMPLES = {"memory": (25, 20), "files": (12, 20), "s3": (3, 10), "gcs": (5, 10)}
"""Number of runs, and steps in each. Slow back ends get fewer: what a run finds depends mostly on the rules."""


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("world", WORLDS)
def test_a_cache_agrees_with_a_dict_of_dicts(request, world, back_end):
    runs = itertools.count()

    class CacheMachine(RuleBasedStateMachine):
        @initialize()
        def begin(self):
            self.cache = root.group(f"run{next(runs)}")
            self.model = {}

        @rule(group=st.none() | PATHS, key=PATHS, value=st.binary(max_size=4))
        def set(self, group, key, value):
            self.at(group).set(key, value)
            self.model[whole_key(group, key)] = value

        @rule(group=st.none() | PATHS, key=PATHS)
        def get(self, group, key):
            assert self.at(group).get(key) == self.model.get(whole_key(group, key))
            assert self.at(group).contains(key) == (whole_key(group, key) in self.model)

        @rule(group=st.none() | PATHS, key=PATHS)
        def delete(self, group, key):
            if self.model.pop(whole_key(group, key), None) is None:
                with pytest.raises(KeyError):
                    self.at(group).delete(key)
            else:
                self.at(group).delete(key)

        @rule(group=PATHS)
        def list_a_group(self, group):
            self.check_keys(group)

        @invariant()
        def list_all(self):
            self.check_keys(None)

        def at(self, group):
            return self.cache if group is None else self.cache.group(group)

        def check_keys(self, group):
            start = "" if group is None else f"{group}/"
            inside = [key.removeprefix(start) for key in self.model if key.startswith(start)]
            assert self.at(group).keys() == sorted(key for key in inside if "/" not in key)

    examples, steps = EXAMPLES[back_end]
    limits = settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck))
    with opened_cache(request, world, back_end) as root:
        run_state_machine_as_test(CacheMachine, settings=limits)


def whole_key(group, key):
    return key if group is None else f"{group}/{key}"
