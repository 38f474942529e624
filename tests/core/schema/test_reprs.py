"""What schemas print."""

from __future__ import annotations

from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema

SCHEMA = Schema.of(
    DatasetKind.SPATIOTEMPORAL,
    [
        Field(name="mmsi", kind=FieldKind.INT64, queryable=True, description="Identity of\nthe <transponder>"),
        Field(name="names", kind=FieldKind.STRING, repeated=True, description="word " * 100),
    ],
)


def test_a_schema_prints_one_aligned_line_a_field():
    assert str(SCHEMA).splitlines() == [
        "Spatiotemporal dataset, 6 fields",
        "  name            type                       queryable  description",
        "  time            google.protobuf.Timestamp",
        "  id              datasets.v1.UUID",
        "  ingestion_time  google.protobuf.Timestamp",
        "  geometry        datasets.v1.Geometry",
        "  mmsi            int64                      yes        Identity of the <transponder>",
        f"  names           list of string                        {'word ' * 15}…",
    ]
    assert repr(SCHEMA) == str(SCHEMA)


def test_a_notebook_shows_a_table_with_all_of_the_text():
    html = SCHEMA._repr_html_()
    assert html.count("<tr>") == 1 + 6
    assert "Identity of the &lt;transponder&gt;" in html
    assert ("word " * 100).strip() in html
