"""What users can name is documented: settings, errors, public names, commands, and the extensions of the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

import tilebox.datasets
from tilebox import errors
from tilebox._core.schema import arrow_schema
from tilebox.server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_settings(setting: str) -> None:
    assert f"`{setting}`" in page("operate/server.md")


@pytest.mark.parametrize("name", errors.__all__)
def test_errors(name: str) -> None:
    if name != "TileboxError":
        assert f"`{name}`" in page("reference/errors.md")


@pytest.mark.parametrize("name", [name for name in tilebox.datasets.__all__ if name not in errors.__all__])
def test_public_names(name: str) -> None:
    everything = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    assert name in everything


@pytest.mark.parametrize("extension", [arrow_schema.EXTENSION, arrow_schema.INGEST_EXTENSION])
def test_extensions(extension: str) -> None:
    assert f"## `{extension}`" in page("wire-extensions.md")


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in DOCS.rglob("*.md"):
        name = path.relative_to(DOCS).as_posix()
        assert name in navigation or name.startswith("decisions/")


def test_decisions_are_listed() -> None:
    listed = page("decisions/index.md")
    for path in (DOCS / "decisions").glob("0*.md"):
        assert path.name in listed
