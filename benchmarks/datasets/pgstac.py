"""The peer of D10: stac-fastapi with pgstac on its own PostgreSQL, filled with the same datapoints as STAC items.

Its packages are in the environment `.nox/pgstac`, or the one in `TILEBOX_PGSTAC_ENV`, which is created if it is missing. PostgreSQL with PostGIS must be installed (Debian: `postgresql-15-postgis-3`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import shapely

from benchmarks.measure import HERE, free_port
from benchmarks.processes import CannotStartError, await_ready, last_line, make_environment, running

ENVIRONMENT = Path(os.environ.get("TILEBOX_PGSTAC_ENV", HERE.parent / ".nox" / "pgstac"))
PACKAGES = (
    "pypgstac[psycopg]==0.10.0",
    "stac-fastapi.pgstac==7.2.0",
    "pystac-client==0.9.1",
    "uvicorn",
    "geopandas>=1.0",
)
COLLECTION = "sentinel-2"
# PostgreSQL refuses to run as root. Debian's package creates this user.
_USER_FOR_ROOT = "postgres"


@contextmanager
def running_pgstac(frame: pd.DataFrame) -> Iterator[str]:
    """Run the API with these datapoints and yield its URL.

    Raises:
        CannotStartError: A requirement is missing or does not start.
    """
    binaries = _postgres_binaries()
    make_environment(ENVIRONMENT, PACKAGES, program="pypgstac")
    with tempfile.TemporaryDirectory(prefix="pgstac-") as folder, _postgres(binaries, Path(folder)) as settings:
        _load(Path(folder), settings, frame)
        with _service(Path(folder), settings) as url:
            yield url


def environment_python() -> str:
    """Return the path of the interpreter with pystac-client."""
    return str(ENVIRONMENT / "bin" / "python")


def items(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield datapoints as STAC items, with every field as a property."""
    times = ["time", "published", "updated"]
    plain = frame.drop(columns="geometry").assign(
        **{name: frame[name].dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "Z" for name in times},
        datatake_id=frame["datatake_id"].astype(str),
        product_id=frame["product_id"].astype(str),
    )
    for shape, record in zip(frame["geometry"], plain.to_dict("records"), strict=True):
        properties = {"datetime": record.pop("time"), **record}
        yield {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": record["granule_name"],
            "collection": COLLECTION,
            "geometry": shapely.geometry.mapping(shape),
            "bbox": list(shape.bounds),
            "properties": properties,
            "links": [],
            "assets": {},
        }


def _postgres_binaries() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in reversed(folders):
        extensions = Path("/usr/share/postgresql") / folder.parent.name / "extension"
        if (extensions / "postgis.control").exists():
            return folder
    what = "PostGIS is not installed" if folders else "PostgreSQL is not installed in /usr/lib/postgresql"
    raise CannotStartError(f"{what} (Debian: apt-get install postgresql-15-postgis-3)")


@contextmanager
def _postgres(binaries: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Run PostgreSQL with its default durability and yield the settings of a connection."""
    user = _USER_FOR_ROOT if os.geteuid() == 0 else None
    data, port = folder / "postgres", free_port()
    data.mkdir()
    if user is not None:
        folder.chmod(0o755)
        shutil.chown(data, user)
    init = [binaries / "initdb", "-D", data, "-U", "pgstac", "--auth=trust", "-E", "UTF8"]
    _run([str(part) for part in init], user=user)
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(data), "-h", "127.0.0.1"]
    settings = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": "pgstac",
        "PGPASSWORD": "pgstac",
        "PGDATABASE": "postgres",
    }
    log, ready = folder / "postgres.log", [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    with running(command, log, cwd=Path("/"), user=user) as process:
        await_ready(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0, process, log)
        yield settings


def _load(folder: Path, settings: dict[str, str], frame: pd.DataFrame) -> None:
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "description": "The benchmark dataset",
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2015-01-01T00:00:00Z", None]]},
        },
        "links": [],
    }
    (folder / "collection.json").write_text(json.dumps(collection))
    with (folder / "items.ndjson").open("w") as file:
        file.writelines(f"{json.dumps(item)}\n" for item in items(frame))
    pypgstac = str(ENVIRONMENT / "bin" / "pypgstac")
    dsn = f"postgresql://pgstac:pgstac@127.0.0.1:{settings['PGPORT']}/{settings['PGDATABASE']}"
    _run([pypgstac, "migrate", "--dsn", dsn])
    _run([pypgstac, "load", "collections", str(folder / "collection.json"), "--dsn", dsn, "--method", "insert"])
    _run([pypgstac, "load", "items", str(folder / "items.ndjson"), "--dsn", dsn, "--method", "insert"])


@contextmanager
def _service(folder: Path, settings: dict[str, str]) -> Iterator[str]:
    """Run the API with one worker and its fastest settings, without validation of responses."""
    port = free_port()
    environment = {**settings, "ENABLE_RESPONSE_MODELS": "false", "ENABLE_DIRECT_RESPONSE": "true"}
    command = [environment_python(), "-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app"]
    command += ["--port", str(port), "--log-level", "warning"]
    url, log = f"http://127.0.0.1:{port}", folder / "api.log"
    with running(command, log, environment, folder) as process:
        await_ready(lambda: _is_ready(url), process, log)
        yield url


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/collections/{COLLECTION}", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def _run(command: list[str], *, user: str | None = None) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, user=user, cwd="/")
    except (subprocess.CalledProcessError, OSError, LookupError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise CannotStartError(f"{Path(command[0]).name} failed: {last_line(reason)}") from error
