"""Keys of caches: what is one, what is refused, and that nothing that passes can leave its group."""

from __future__ import annotations

import ntpath
import posixpath
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core import cache_keys

HOSTILE = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/..",
    "./a",
    "a\\b",
    "..\\a",
    "\\\\host\\share",
    "C:",
    "c:/windows",
    "a/c:b",
    "a\x00b",
    "a\nb",
    "a\x7f",
    "a\x85b",
    "\ud800",
    "a\ufffe",
    ".tilebox-values",
    ".Tilebox-values/a",
    "a/.tilebox-x.tmp",
    "x" * 256,
    "é" * 128,
    "/".join("x" * 200 for _ in range(5)),
]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_refused(key):
    with pytest.raises(ValueError, match="cache key"):
        cache_keys.parse(key)


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "a/b/c",
        ".hidden",
        "...",
        "a..b",
        "a b",
        "2024-01-01T00:00:00",
        "x" * 255,
        "é" * 127,
        "日本/🛰",
        "~",
        "%2e%2e",
    ],
)
def test_keys_are_names_separated_by_slashes(key):
    assert cache_keys.parse(key) == tuple(key.split("/"))
    assert cache_keys.parse(key, ("job", "g")) == ("job", "g", *key.split("/"))


def test_the_groups_count_towards_the_length_of_a_key():
    group = ("g" * 250, "h" * 250, "i" * 250)
    assert len("/".join(cache_keys.parse("x" * 147, group))) == 900
    with pytest.raises(ValueError, match="900 bytes"):
        cache_keys.parse("x" * 148, group)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\x00", "e\u0301", ".tilebox-values"])
def test_foreign_files_in_a_group_are_not_keys(name):
    assert not cache_keys.is_name(name)


@given(st.text())
def test_no_key_leaves_its_group(key):
    try:
        path = cache_keys.parse(key, ("group",))
    except ValueError:
        return
    joined = "/".join(path)
    assert path[0] == "group"
    assert len(path) > 1
    assert all(cache_keys.is_name(name) for name in path)
    assert posixpath.normpath(joined) == joined
    assert ntpath.normpath(ntpath.join("C:\\root", *path)).startswith("C:\\root\\group\\")
    assert cache_keys.parse(joined) == path
    assert unicodedata.is_normalized("NFC", joined)


@pytest.mark.parametrize(("prefix", "names"), [("", ()), ("/", ()), ("jobs", ("jobs",)), ("/a/b/", ("a", "b"))])
def test_a_prefix_may_have_slashes_at_its_ends(prefix, names):
    assert cache_keys.parse_prefix(prefix) == names


@pytest.mark.parametrize("prefix", ["a//b", "..", "a/../b", "x" * 124])
def test_a_prefix_is_part_of_a_key(prefix):
    with pytest.raises(ValueError, match=r"prefix|cache key"):
        cache_keys.parse_prefix(prefix)


def test_a_key_and_its_prefix_fit_a_bucket():
    prefix = "/".join(cache_keys.parse_prefix("x" * 123))
    key = "/".join(cache_keys.parse("/".join(["y" * 224] * 4)))
    assert len(f"{prefix}/{key}") <= 1024


@pytest.mark.parametrize("name", ["CON", "nul.txt", "com1", "a:b", "a?", "a.", "a ", "a|b"])
def test_names_that_windows_reinterprets_are_refused_there(name):
    with pytest.raises(ValueError, match="Windows"):
        cache_keys.check_for_windows(("job", name))


def test_windows_takes_most_names():
    cache_keys.check_for_windows(("job", "console", "a.b", "null", ".tilebox-values", "comet"))
