"""A notebook: plain calls and `await` in cells, progress bars with and without widgets, in a real kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilebox.testing import LocalServer

CELLS = [
    "from tilebox.datasets import Client\n"
    "collection = Client().dataset('open_data.copernicus.landsat8_oli_tirs').collection('L1GT')\n"
    "data = collection.load(('2022-05-01', '2022-06-01'), show_progress=True)\n"
    "print('plain', data.sizes['time'])",
    "from tilebox.datasets.aio import Client as AsyncClient\n"
    "dataset = await AsyncClient().dataset('open_data.copernicus.landsat8_oli_tirs')\n"
    "collection = await dataset.collection('L1GT')\n"
    "data = await collection.load(('2022-05-01', '2022-06-01'), show_progress=True)\n"
    "print('awaited', data.sizes['time'])",
    "import asyncio\n"
    "async def count(name):\n"
    "    return (await (await dataset.collection(name)).load(('2020-01-01', '2021-01-01'))).sizes['time']\n"
    "print('together', await asyncio.gather(*map(count, ['L1GT', 'L1T', 'L1TP', 'L2SP'])))",
    "data",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the kernel's own client warns of nothing of ours
def test_cells_run(open_data_server: LocalServer, use: Callable[[LocalServer], None]) -> None:
    use(open_data_server)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=600, startup_timeout=600, kernel_name="python3").execute()

    printed = [
        "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")
        for cell in notebook.cells
    ]
    assert printed[0].strip().endswith("plain 514")
    assert printed[1].strip().endswith("awaited 514")
    assert printed[2].strip() == "together [96, 96, 96, 96]"
    assert "xarray.Dataset" in notebook.cells[3].outputs[0]["data"]["text/plain"]
