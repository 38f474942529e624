"""Task identifiers: their format, and which runner may execute which version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.tasks.versions import TaskIdentifier

numbers = st.integers(0, 10**18 - 1)
names = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=256)
identifiers = st.builds(TaskIdentifier, names, numbers, numbers)


@given(identifiers)
def test_identifiers_survive_parsing(identifier):
    assert TaskIdentifier.parse(identifier.name, identifier.version) == identifier
    assert str(identifier) == f"{identifier.name} {identifier.version}"


@pytest.mark.parametrize(
    ("runner", "submitted", "runs"),
    [
        ("v1.3", "v1.3", True),
        ("v1.3", "v1.0", True),
        ("v1.3", "v1.4", False),
        ("v1.10", "v1.9", True),
        ("v2.0", "v1.0", False),
        ("v1.0", "v2.0", False),
    ],
)
def test_a_runner_executes_its_major_version_up_to_its_minor_one(runner, submitted, runs):
    assert TaskIdentifier.parse("T", runner).runs(TaskIdentifier.parse("T", submitted)) is runs


def test_names_must_be_equal():
    assert not TaskIdentifier("A", 1, 0).runs(TaskIdentifier("B", 1, 0))


@given(identifiers, identifiers)
def test_order_is_by_name_then_by_number(one, other):
    expected = (one.name, one.major, one.minor) < (other.name, other.major, other.minor)
    assert (one < other) is expected


@pytest.mark.parametrize(
    "version", ["1.3", "v1", "v1.3.0", "v1.3 ", "v1.3\n", " v1.3", "v-1.3", "v1.x", "", "V1.3", "v١.٣", f"v1.{10**18}"]
)
def test_malformed_versions_are_refused(version):
    with pytest.raises(ValueError, match="version"):
        TaskIdentifier.parse("T", version)


@pytest.mark.parametrize("name", ["", "x" * 257, "ä" * 129, "a\0b", "a\nb"])
def test_malformed_names_are_refused(name):
    with pytest.raises(ValueError, match="the name of a task must"):
        TaskIdentifier.parse(name, "v1.0")


def test_names_are_measured_in_bytes():
    assert TaskIdentifier.parse("ä" * 128, "v0.0").name == "ä" * 128


@pytest.mark.parametrize("pair", [("T", 1.0), (None, "v1.0"), (b"T", "v1.0")])
def test_only_strings_are_read(pair):
    with pytest.raises(TypeError, match="strings"):
        TaskIdentifier.parse(*pair)
