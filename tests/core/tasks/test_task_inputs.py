"""Task inputs: they survive serialisation to the documented bytes, and unsupported ones are refused early."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import sys
import typing
import uuid
from dataclasses import InitVar, dataclass, field
from decimal import Decimal  # noqa: F401 - named in generated classes
from ipaddress import IPv4Address
from pathlib import Path
from typing import (
    Annotated,  # noqa: F401
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypeVar,
    Union,
)

import numpy as np
import pandas as pd
import pytest
import typing_extensions
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, computed_field

from tilebox._core.tasks.inputs.serialization import MAX_INPUT_BYTES, deserialize, serialize
from tilebox._core.tasks.task import Task
from tilebox.errors import TaskDefinitionError


class Mode(enum.Enum):
    FAST = "fast"
    EXACT = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Flags(enum.IntFlag):
    A = 1
    B = 2


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass
class Node:
    name: str
    children: list[Node] = field(default_factory=list)
    other: Optional[Node] = None  # noqa: UP045 - as many write it


T = TypeVar("T")


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T] = field(default_factory=list)


Name = NewType("Name", str)

# Every type of the grammar: how it is written, and values of it.

integers = st.integers(-(2**70), 2**70)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text()
zones = st.timezones() | st.none()
nodes = st.recursive(
    st.builds(Node, texts, st.just([]), st.none()),
    lambda inner: st.builds(Node, texts, st.lists(inner, max_size=2), inner | st.none()),
    max_leaves=4,
)

LEAVES = {
    "str": texts,
    "int": integers,
    "float": floats,
    "bool": st.booleans(),
    "None": st.none(),
    "bytes": st.binary(),
    "dt.datetime": st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    "dt.date": st.dates(),
    "dt.time": st.times(),
    "dt.timedelta": st.timedeltas(),
    "uuid.UUID": st.uuids(),
    "Decimal": st.decimals(allow_nan=False),
    "Path": st.builds(lambda parts: Path(*parts), st.lists(st.text("abc.", min_size=1), min_size=1)),
    "Mode": st.sampled_from(Mode),
    "Level": st.sampled_from(Level),
    "Literal['a', 1, True, None]": st.sampled_from(["a", 1, True, None]),
    "Point": st.builds(Point, floats, floats),
    "Node": nodes,
    "Box[dt.date]": st.builds(Box, st.dates(), st.lists(st.dates(), max_size=3)),
    "Duration": st.builds(Duration, seconds=st.integers(-(2**40), 2**40)),
    "Name": texts,
    "Annotated[int, 'metres']": integers,
}
KEYS = {
    "str": texts,
    "int": integers,
    "uuid.UUID": st.uuids(),
    "dt.date": st.dates(),
    "Literal['a', 'b']": st.just("a"),
}
HASHABLE = ("str", "int", "float", "bool", "bytes", "dt.date", "uuid.UUID", "Mode")
# Members of unions that JSON tells apart.
UNIONS = [
    ["int", "str"],
    ["int", "float"],
    ["float", "bool", "None"],
    ["Point", "str"],
    ["list[int]", "dict[str, int]", "dt.datetime"],
    ["Literal['auto']", "str", "int"],
    ["bool", "Path"],
    ["Level", "str"],
]


@st.composite
def typed(draw, depth=2):
    """An annotation, as it is written, and a strategy for its values."""
    shapes = ["leaf"] if depth == 0 else ["leaf", "list", "tuple", "pair", "set", "dict", "optional", "union"]
    shape = draw(st.sampled_from(shapes))
    if shape == "leaf":
        written = draw(st.sampled_from(sorted(LEAVES)))
        return written, LEAVES[written]
    if shape == "set":
        written = draw(st.sampled_from(HASHABLE))
        return f"frozenset[{written}]", st.frozensets(LEAVES[written], max_size=4)
    if shape == "union":
        members = draw(st.sampled_from(UNIONS))
        known = {**LEAVES, "list[int]": st.lists(integers, max_size=3), "Literal['auto']": st.just("auto")}
        known["dict[str, int]"] = st.dictionaries(texts, integers, max_size=3)
        return " | ".join(members), st.one_of([known[member] for member in members])
    written, values = draw(typed(depth - 1))
    if shape == "list":
        return f"list[{written}]", st.lists(values, max_size=4)
    if shape == "tuple":
        return f"tuple[{written}, ...]", st.lists(values, max_size=4).map(tuple)
    if shape == "pair":
        other, more = draw(typed(depth - 1))
        return f"tuple[{written}, {other}]", st.tuples(values, more)
    if shape == "dict":
        key = draw(st.sampled_from(sorted(KEYS)))
        return f"dict[{key}, {written}]", st.dictionaries(KEYS[key], values, max_size=3)
    return f"Optional[{written}]", st.none() | values


def define(fields, *, postponed):
    """Define a class of tasks as a module with or without postponed annotations would."""
    lines = [f"    field_{number}: {written}" for number, written in enumerate(fields)]
    source = "\n".join(["class Made(Task):", *(lines or ["    pass"])])
    flags = annotations.compiler_flag if postponed else 0
    names = {**globals(), "__name__": __name__}
    exec(compile(source, "made", "exec", flags=flags, dont_inherit=True), names)
    return names["Made"]


@given(st.data(), st.booleans())
def test_inputs_survive_serialisation(data, postponed):
    fields = data.draw(st.lists(typed(), max_size=4))
    made = define([written for written, _ in fields], postponed=postponed)
    task = made(*(data.draw(values) for _, values in fields))
    travelling = serialize(task)
    back = deserialize(made, travelling)
    assert back == task
    assert [type(value) for value in vars(back).values()] == [type(value) for value in vars(task).values()]
    assert serialize(back) == travelling


@given(st.data(), typed())
def test_postponed_annotations_mean_the_same(data, field):
    written, values = field
    value = data.draw(values)
    one, other = (define([written], postponed=postponed) for postponed in (False, True))
    assert serialize(one(value)) == serialize(other(value))


class Nothing(Task):
    pass


class Single(Task):
    value: Any


class Several(Task):
    a: int
    b: str = "x"
    c: dict[str, int] = field(default_factory=dict)


class Timed(Task):
    when: dt.datetime


class Sent(Task):
    message: Duration


class PerhapsSent(Task):
    message: Duration | None = None


class SentAlong(Task):
    message: Duration
    number: int


class Lasting(Task):
    value: dt.timedelta


class Defaulted(Task):
    number: int = 3


def test_the_documented_bytes():
    assert serialize(Nothing()) == b""
    assert serialize(Single("é")) == '"é"'.encode()
    assert serialize(Several(1, "x", {"k": 2})) == b'{"a":1,"b":"x","c":{"k":2}}'
    assert serialize(Timed(dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC))) == b'"2024-01-02T03:00:00+00:00"'


def test_a_single_message_is_bytes_and_one_among_others_is_base64():
    assert serialize(Sent(Duration(seconds=3))) == b"\x08\x03"
    assert serialize(Sent(Duration())) == b""
    assert serialize(SentAlong(Duration(seconds=3), 1)) == b'{"message":"CAM=","number":1}'


@pytest.mark.parametrize("message", [None, Duration(), Duration(seconds=3)])
def test_a_message_that_may_be_missing(message):
    task = PerhapsSent(message)
    assert deserialize(PerhapsSent, serialize(task)) == task


def test_inputs_may_come_with_spaces_and_in_any_order():
    assert deserialize(Several, b'{ "c": {}, "b": "y", "a": 1 }') == Several(1, "y")


def test_inputs_of_a_later_version_are_ignored():
    assert deserialize(Several, b'{"a":1,"b":"x","c":{},"d":5}') == Several(1)


def test_inputs_of_an_earlier_version_are_completed_with_defaults():
    assert deserialize(Several, b'{"a":1}') == Several(1)
    assert deserialize(Defaulted, b"") == Defaulted(3)


@pytest.mark.parametrize(
    ("task_class", "data", "match"),
    [
        (Several, b'{"b":"x"}', r"Several\.a is missing"),
        (Several, b'{"a":"1"}', r"Several\.a must be a valid integer, but is a str: '1'"),
        (Several, b'{"a":1,"c":{"k":"v"}}', r"Several\.c\.k must be a valid integer"),
        (Several, b"5", "Several must be an object, but is an int: 5"),
        (Several, b"{", "is not valid JSON"),
        (Several, b"\xff", "is not valid JSON"),
        (Several, b'{"a":NaN}', r"Several\.a must be a valid integer, but is a float: nan"),
        (Timed, b'"yesterday"', r"Timed\.when must be a datetime"),
        (Timed, b"", "is not valid JSON"),
        (Sent, b"\xff\xff", r"Sent\.message must be a Duration"),
        (SentAlong, b'{"message":"*","number":1}', r"SentAlong\.message must be a Duration"),
        (Single, b"[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_inputs_are_refused_by_name(task_class, data, match):
    with pytest.raises(ValueError, match=match):
        deserialize(task_class, data)


def one(annotation, value):
    made = dataclasses.make_dataclass("Made", [("value", annotation)], bases=(Task,))
    return made(value)


@pytest.mark.parametrize(
    ("annotation", "value", "match"),
    [
        (int, "1", r"Made\.value must be a valid integer, but is a str: '1'"),
        (int, True, "must be a valid integer, but is a bool"),
        (int, 1.5, "must be a valid integer, but is a float"),
        (float, "1", "must be a valid number"),
        (float, True, "must be a valid number"),
        (str, None, "must be a valid string, but is None"),
        (bool, 1, "must be a valid boolean"),
        (list[int], "ab", "must be a list"),
        (list[int], [1, "2"], r"value\[1\] must be a valid integer"),
        (list[list[int]], [[1], [None]], r"value\[1\]\[0\] must be a valid integer, but is None"),
        (dict[str, int], {"k": "v"}, r"value\.k must be a valid integer"),
        (dict[str, int], {1: 1}, r"value has a key that must be a valid string, but is an int: 1; write dict\[int, "),
        (dict[str, list[int]], {"a b": ["x"]}, r"value\['a b'\]\[0\] must be"),
        (tuple[int, str], (1,), r"value\[1\] is missing"),
        (tuple[int, str], (1, "a", 2), "at most 2 items"),
        (Point, {"x": 1.0}, "must be a Point, but is a dict"),
        (Point | None, Point("1"), r"value\.x must be a valid number"),
        (int | str, 1.5, r"must be int \| str, but is a float: 1\.5"),
        (Literal["a", 1], True, "must be a Literal"),
        (Literal["a"], [], "must be 'a', but is a list"),
        (Mode, "fast", r"write Mode\('fast'\)"),
        (Path, "a/b", r"write Path\('a/b'\)"),
        (uuid.UUID, "5", "must be a UUID"),
        (dt.date, dt.datetime(2024, 1, 1), "must be a date, but is a datetime"),
        (dt.datetime, dt.date(2024, 1, 1), "must be a datetime, but is a date"),
        (dt.datetime, pd.NaT, "must be a datetime"),
        (dt.datetime, pd.Timestamp("2024-01-02T03:04:05.000006001"), "would lose information as a datetime"),
        (set[int], [1], "must be a set"),
        (list[float], np.zeros(2), r"write \.tolist\(\)"),
        (Duration, b"", "must be a Duration"),
        (Any, {1: 2}, r"has a key that must be a valid string, but is an int: 1; write dict\[int, "),
        (Any, [object()], r"value\[0\] is an object.* cannot be serialised as JSON"),
        (Any, 1j, "cannot be serialised as JSON"),
    ],
)
def test_values_of_another_type_are_refused_by_name(annotation, value, match):
    with pytest.raises(TypeError, match=match):
        serialize(one(annotation, value))


def test_frozen_dataclasses_are_serialised():
    @dataclass(frozen=True, slots=True, order=True)
    class Box:
        width: int
        tags: tuple[str, ...] = ()

    @dataclass(frozen=True, kw_only=True)
    class Crate(Box):
        boxes: list[Box] = field(default_factory=list)

    class Ship(Task):
        load: Crate
        deck: Box | None = None

    ship = Ship(Crate(width=3, boxes=[Box(1, ("a", "b"))]), Box(2))
    assert deserialize(Ship, serialize(ship)) == ship


def test_a_subclass_that_would_lose_fields_is_refused():
    @dataclass
    class Point3(Point):
        z: float = 0.0

    with pytest.raises(TypeError, match="additional fields would be lost"):
        serialize(one(Point, Point3(1.0)))


@pytest.mark.parametrize(
    ("annotation", "value", "match"),
    [
        (float, float("nan"), r"Made\.value is nan.*float \| None"),
        (list[float], [1.0, float("-inf")], r"value\[1\] is -inf"),
        (Any, {"a": float("inf")}, r"value\.a is inf"),
        (float, 10**400, "too large for a float"),
        (str, "\ud800", r"Made\.value contains a lone surrogate.*'\\ud800'"),
        (dict[str, str], {"\udfff": ""}, "contains a lone surrogate"),
    ],
)
def test_values_that_json_cannot_represent_are_refused_by_name(annotation, value, match):
    with pytest.raises(ValueError, match=match):
        serialize(one(annotation, value))


def test_the_field_with_a_lone_surrogate_is_named_among_others():
    with pytest.raises(ValueError, match=r"Several\.b contains"):
        serialize(Several(1, "\ud800"))


def test_integers_with_too_many_digits_are_refused():
    for number in (10**4300, 10**5000, -(10**4299)):
        with pytest.raises(ValueError, match=r"Made\.value has more than 4300 digits"):
            serialize(one(int, number))
    with pytest.raises(TypeError, match=r"must be a valid string, but is an int$"):
        serialize(one(str, 10**5000))


@pytest.mark.parametrize("number", [10**4300 - 1, -(10**4299) + 1])
def test_the_longest_readable_integers_are_serialised(number):
    task = one(int, number)
    assert deserialize(type(task), serialize(task)) == task


def test_a_value_that_contains_itself_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(ValueError, match="refers to itself"):
        serialize(Single(endless))


def test_inputs_too_deep_for_a_runner_are_refused_where_they_are_submitted():
    def nested(depth):
        return Single(json.loads("[" * depth + "]" * depth))

    assert deserialize(Single, serialize(nested(150))) == nested(150)
    for depth in (205, 230, 300, 900):
        with pytest.raises(ValueError, match="nested too deeply"):
            serialize(nested(depth))


def test_many_short_lists_are_not_deep():
    task = Single([[1]] * 1000)
    assert deserialize(Single, serialize(task)) == task


class Area(BaseModel):
    name: str
    since: dt.date
    size: float = 1.0
    parts: list[Area] = []


class Renamed(BaseModel, extra="forbid"):
    size: int = Field(alias="theSize")

    @computed_field
    @property
    def double(self) -> int:
        return 2 * self.size


class Corner(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("annotation", "value", "data"),
    [
        (
            Area,
            Area(name="a", since=dt.date(2024, 1, 2), parts=[Area(name="b", since=dt.date(2024, 1, 3))]),
            b'{"name":"a","since":"2024-01-02","size":1.0,"parts":'
            b'[{"name":"b","since":"2024-01-03","size":1.0,"parts":[]}]}',
        ),
        (Renamed, Renamed(theSize=2), b'{"theSize":2}'),
        (list[Area] | None, None, b"null"),
        (dict[str, Corner], {"a": Corner(1, 2)}, b'{"a":[1,2]}'),
        (IPv4Address, IPv4Address("10.0.0.1"), b'"10.0.0.1"'),
        (Area | str, "a", b'"a"'),
    ],
)
def test_types_of_pydantic_are_serialised_by_pydantic(annotation, value, data):
    task = one(annotation, value)
    assert serialize(task) == data
    assert deserialize(type(task), data) == task


class Extent(typing_extensions.TypedDict):
    width: int


def test_typed_dicts_are_serialised():
    task = one(Extent, {"width": 1})
    assert serialize(task) == b'{"width":1}'
    assert deserialize(type(task), b'{"width":1}') == task
    with pytest.raises(TypeError, match=r"Made\.value\.width must be a valid integer"):
        serialize(one(Extent, {"width": "1"}))


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes both there")
def test_typed_dicts_that_pydantic_cannot_read_are_refused_with_a_hint():
    with pytest.raises(TaskDefinitionError, match=r"write typing_extensions\.TypedDict"):
        one(typing.TypedDict("Extent", {"width": int}), {"width": 1})


def test_values_of_pydantic_models_are_checked():
    with pytest.raises(TypeError, match=r"Made\.value must be .*instance of Area"):
        serialize(one(Area, "a"))
    with pytest.raises(TypeError, match=r"Made\.value\.since must be a valid date"):
        serialize(one(Area, {"name": "a", "since": "2024-01-02"}))
    with pytest.raises(ValueError, match=r"Made\.value\.size is nan"):
        serialize(one(Area, Area(name="a", since=dt.date(2024, 1, 2), size=float("nan"))))
    with pytest.raises(ValueError, match=r"Made\.value\.since must be a valid date"):
        deserialize(type(one(Area, None)), b'{"name":"a","since":"soon"}')


def test_models_in_any_are_serialised():
    area = Area(name="a", since=dt.date(2024, 1, 2))
    assert deserialize(Single, serialize(Single([area]))).value[0]["since"] == "2024-01-02"


def test_inputs_above_the_size_limit_are_refused():
    assert len(serialize(Single("x" * (MAX_INPUT_BYTES - 2)))) == MAX_INPUT_BYTES
    with pytest.raises(ValueError, match="store the data in context"):
        serialize(Single("x" * (MAX_INPUT_BYTES - 1)))


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, np.int64(5), 5),
        (int, Level.HIGH, 2),
        (float, np.float32(0.5), 0.5),
        (float, np.int16(2), 2.0),
        (float, 3, 3.0),
        (bool, np.True_, True),
        (str, np.str_("a"), "a"),
        (Any, [np.int8(1), np.float64(2.5)], [1, 2.5]),
        (dt.datetime, pd.Timestamp("2024-01-02T03:04:05.000006"), dt.datetime(2024, 1, 2, 3, 4, 5, 6)),
        (bytes, bytearray(b"a"), b"a"),
        (list[int], (1, 2), [1, 2]),
        (typing.Sequence[int], (1, 2), [1, 2]),
        (typing.Mapping[str, int], {"a": 1}, {"a": 1}),
        (Flags, Flags.A | Flags.B, Flags.A | Flags.B),
        (Any, Point(1.0), {"x": 1.0, "y": 0.0}),
        (Any, {"when": dt.date(2024, 1, 2), "mode": Mode.FAST}, {"when": "2024-01-02", "mode": "fast"}),
        (object, [None, True], [None, True]),
        (list, [1, "a"], [1, "a"]),
        (dict, {"a": []}, {"a": []}),
        (tuple, (1,), (1,)),
    ],
)
def test_equivalent_values_are_converted(annotation, value, expected):
    task = one(annotation, value)
    back = deserialize(type(task), serialize(task)).value
    assert back == expected
    assert type(back) is type(expected)


def test_an_instant_keeps_its_offset():
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    task = Timed(dt.datetime(2024, 1, 2, tzinfo=zone))
    assert deserialize(Timed, serialize(task)).when.utcoffset() == dt.timedelta(hours=5, minutes=30)


def test_equal_sets_are_equal_inputs():
    # With these, order depends on the order in which they came.
    assert list({0, 8}) != list({8, 0})
    assert serialize(one(set[int], {0, 8})) == serialize(one(set[int], {8, 0})) == b"[0,8]"


@pytest.mark.parametrize(
    ("annotation", "match"),
    [
        (complex, r"Made: value is complex, .*write tuple\[float, float\]"),
        (np.ndarray, r"ndarray.*list\[float\]"),
        (pd.DataFrame, "DataFrame.*job_cache"),
        (type, "cannot be serialised as JSON"),
        (typing.Callable[[], int], "cannot be serialised as JSON"),
        (list[complex], "complex"),
        (dict[tuple[int, int], str], r"keys of type tuple\[int, int\].*write dict\[str, str\]"),
        (dict[float, int], "keys of type float"),
        (Union[str, Path], r"str \| Path, in which str and Path look the same in JSON \(string\)"),  # noqa: UP007
        (Point | Node, "look the same in JSON"),
        (Area | Point, "look the same in JSON"),
        (dt.date | dt.datetime | None, "look the same"),
        (list[int] | tuple[str, ...], "look the same"),
        (Literal[b"x"], "a Literal of b'x'"),
        (enum.Enum("Odd", {"A": (1, 2)}), "whose member A is"),
    ],
)
def test_unsupported_types_are_refused_at_the_definition(annotation, match):
    with pytest.raises(TaskDefinitionError, match=match):
        dataclasses.make_dataclass("Made", [("value", annotation)], bases=(Task,))


def test_a_type_inside_a_dataclass_is_refused_at_the_definition_too():
    @dataclass
    class Odd:
        numbers: list[complex]

    with pytest.raises(TaskDefinitionError, match="complex"):

        class Made(Task):
            odd: Odd | None


def test_definition_errors_are_type_errors():
    assert issubclass(TaskDefinitionError, TypeError)


def test_names_of_a_function_are_found():
    @dataclass
    class Tree:
        children: list[Tree]

    class Plant(Task):
        tree: Tree

    task = Plant(Tree([Tree([])]))
    assert deserialize(Plant, serialize(task)) == task


def test_names_defined_further_down_are_found_at_the_first_use():
    class Early(Task):
        later: Later | None

    @dataclass
    class Later:
        number: int

    task = Early(Later(5))
    assert deserialize(Early, serialize(task)) == task


def test_an_undefined_name_is_an_error_at_the_first_use():
    class Lost(Task):
        value: Nowhere  # noqa: F821

    with pytest.raises(TaskDefinitionError, match=r"Lost has an input of type Nowhere.*TYPE_CHECKING"):
        serialize(Lost(1))
    with pytest.raises(TaskDefinitionError, match="Nowhere"):
        deserialize(Lost, b"1")


def test_a_default_does_not_hide_the_type_of_the_same_name():
    class Dated(Task):
        uuid: uuid.UUID | None = None
        Point: Point | None = None

    task = Dated(uuid.UUID(int=1), Point(1.0))
    assert deserialize(Dated, serialize(task)) == task


def test_classes_inside_the_task_are_found():
    class Outer(Task):
        class Kind(enum.Enum):
            A = 1

        kind: Kind

    assert deserialize(Outer, b"1") == Outer(Outer.Kind.A)


def test_fields_that_are_not_serialised():
    class Partly(Task):
        number: int
        kept: str = field(default="here", metadata={"skip_serialization": True})
        made: list[int] = field(init=False)
        factor: InitVar[int] = 2
        shared: ClassVar[dict[complex, int]] = {}

        def __post_init__(self, factor):
            self.made = [self.number * factor]

    task = Partly(4, "there", 3)
    assert serialize(task) == b"4"
    back = deserialize(Partly, b"4")
    assert (back.kept, back.made) == ("here", [8])


@pytest.mark.parametrize("kind", ["skip_serialization", "an InitVar"])
def test_a_field_that_is_not_serialised_needs_a_default(kind):
    given = {
        "skip_serialization": ("number", int, field(metadata={"skip_serialization": True})),
        "an InitVar": ("number", InitVar[int]),
    }
    with pytest.raises(TaskDefinitionError, match=f"{kind}.* needs a default"):
        dataclasses.make_dataclass("Made", [given[kind]], bases=(Task,))


def test_inherited_inputs_keep_their_order():
    class Child(Several):
        d: bool = False

    assert serialize(Child(1, d=True)) == b'{"a":1,"b":"x","c":{},"d":true}'
    assert deserialize(Child, b'{"a":1,"d":true}') == Child(1, d=True)


def test_keyword_only_inputs():
    class Keywords(Task):
        a: int
        _: dataclasses.KW_ONLY
        b: int

    assert deserialize(Keywords, b'{"a":1,"b":2}') == Keywords(1, b=2)


def test_an_error_of_post_init_is_not_hidden():
    class Strict(Task):
        number: int

        def __post_init__(self):
            if self.number > 5:
                raise ValueError("too large")

    with pytest.raises(ValueError, match="too large"):
        deserialize(Strict, b"6")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PT1H2M3.5S", dt.timedelta(hours=1, minutes=2, seconds=3.5)),
        ("P1W", dt.timedelta(weeks=1)),
        ("-P1DT1S", -dt.timedelta(days=1, seconds=1)),
        ("PT0.1234561S", dt.timedelta(microseconds=123456)),
    ],
)
def test_durations_of_others_are_read(text, value):
    assert deserialize(Lasting, json.dumps(text).encode()) == Lasting(value)


@pytest.mark.parametrize("text", ["", "P", "PT", "1S", "PT1", "PT-1S"])
def test_malformed_durations_are_refused(text):
    with pytest.raises(ValueError, match=r"Lasting\.value must be a valid duration"):
        deserialize(Lasting, json.dumps(text).encode())


@given(
    st.recursive(
        st.none() | st.booleans() | integers | floats | texts,
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
        max_leaves=8,
    )
)
def test_any_is_written_as_compact_json(value):
    assert json.loads(serialize(Single(value))) == value
    assert b", " not in serialize(Single([1, 2, {"a": 1, "b": 2}]))


def test_only_tasks_have_inputs():
    with pytest.raises(TypeError, match="int is not a task"):
        serialize(5)
    with pytest.raises(TypeError, match=r"class Point\(Task\)"):
        deserialize(Point, b"")
