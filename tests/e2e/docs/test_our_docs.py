"""Every Python snippet of our own README and guides runs, page by page, as a reader would run it."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely

from tilebox.datasets import Client, DatasetKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilebox.testing import LocalServer

ROOT = Path(__file__).resolve().parents[3]
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(
    path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if SNIPPET.search(path.read_text())
)

FIELDS = [
    {"name": "granule_name", "type": str},
    {"name": "cloud_cover", "type": float, "queryable": True},
    {"name": "platform", "type": str, "queryable": True},
]


@pytest.fixture(scope="module")
def catalogue(module_server: LocalServer) -> LocalServer:
    client = Client(module_server.url, module_server.token)
    dataset = client.create_or_update_dataset(
        DatasetKind.SPATIOTEMPORAL, "open_data.copernicus.sentinel2_msi", FIELDS, name="Sentinel-2 MSI"
    )
    count = 2_000
    west, south = np.linspace(-170, 170, count), np.linspace(-60, 80, count)
    for name in ("S2A_S2MSI2A", "S2B_S2MSI2A"):
        dataset.get_or_create_collection(name).ingest(
            {
                "time": np.datetime64("2026-03-16", "ms") + np.arange(count) * np.timedelta64(240_000, "ms"),
                "geometry": shapely.box(west, south, west + 1, south + 1),
                "granule_name": [f"{name}_{i:05d}" for i in range(count)],
                "cloud_cover": [None if i % 50 == 0 else float(i % 101) for i in range(count)],
                "platform": [name[:3]] * count,
            }
        )
    return module_server


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(
    page: Path,
    catalogue: LocalServer,
    use: Callable[[LocalServer], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(catalogue)
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # as task classes for other processes have to be in one
    names = module.__dict__
    for snippet in SNIPPET.finditer(page.read_text()):
        line = page.read_text()[: snippet.start(1)].count("\n")
        code = compile(
            "\n" * line + snippet[1], str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        awaited = eval(code, names)  # as a notebook cell runs it
        if inspect.iscoroutine(awaited):
            asyncio.run(awaited)
