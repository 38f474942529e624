"""The settings of a server, from flags and from environment variables that start with TILEBOX_SERVER_."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tilebox.server.points import check_location

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TILEBOX_SERVER_"
MEBIBYTE = 1024 * 1024


class Settings(BaseModel):
    """All settings of a server. Each can be given as `TILEBOX_SERVER_<NAME>` in the environment; a flag wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(
        default=Path("tilebox-data"), description="Directory of the database, the datapoints and the first API key."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 lets other machines in.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    database: str | None = Field(
        default=None, description="URL of the control database; a SQLite file in the data directory if not given."
    )
    storage: str | None = Field(
        default=None,
        description="Where datapoints are kept, a directory or s3://bucket/prefix; else the data directory.",
    )
    synchronous: str = Field(
        default="full",
        pattern="^(full|normal)$",
        description="Whether what runners report to SQLite outlives a loss of power at once (full), or soon (normal).",
    )
    max_body_bytes: int = Field(
        default=128 * MEBIBYTE, ge=1024, description="Largest request, as sent and as unpacked, in bytes."
    )
    page_rows: int = Field(default=5000, ge=1, description="Datapoints in a page whose request names no limit.")
    max_page_rows: int = Field(default=10_000, ge=1, description="Datapoints in a page at the most.")
    max_page_bytes: int = Field(default=4 * MEBIBYTE, ge=1, description="Size of a page's datapoints, about, in bytes.")
    grace_seconds: int = Field(
        default=20, ge=0, description="How long requests under way may take to finish once the server is told to stop."
    )
    upkeep_seconds: float = Field(default=60, gt=0, description="Pause between two rounds of upkeep of the datapoints.")
    max_subtasks: int = Field(default=64, ge=1, description="Tasks that one task may submit.")
    max_task_input_bytes: int = Field(default=2048, ge=1, description="Largest input of a task, serialised, in bytes.")
    lease_seconds: float = Field(
        default=60, gt=0, description="How long a runner may be silent before its tasks are given to others."
    )
    max_lease_seconds: float = Field(default=3600, gt=0, description="Longest lease that a runner may ask for.")
    max_crashes: int = Field(
        default=10, ge=0, description="How often a task may take its runner down before it counts as failed."
    )
    diagram_tasks: int = Field(default=200, ge=4, description="Nodes in a job's diagram at the most.")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="What is logged.")

    @field_validator("storage")
    @classmethod
    def _check_storage(cls, value: str | None) -> str | None:
        return None if value is None else check_location(value)

    @classmethod
    def read(cls, environment: Mapping[str, str], **flags: Any) -> Settings:
        """Return settings: flags that are not None win over the environment, and the environment over the defaults.

        Args:
            environment: Environment variables; those without the prefix are ignored.
            flags: Settings by name.

        Raises:
            ValueError: A setting is unknown or malformed; the message names it.
        """
        given = {
            name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
        }
        given |= {name: value for name, value in flags.items() if value is not None}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise ValueError(_explain(error)) from None

    @property
    def database_url(self) -> str:
        """URL of the control database."""
        return self.database or f"sqlite://{quote(str(self.data_dir.resolve() / 'tilebox.sqlite'))}"

    @property
    def storage_url(self) -> str:
        """Directory or URL of the datapoints."""
        return self.storage or str(self.data_dir.resolve() / "datapoints")


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0])
        known = "" if name in Settings.model_fields else f" (settings: {', '.join(Settings.model_fields)})"
        lines.append(f"setting {name} ({PREFIX}{name.upper()}): {problem['msg'].removeprefix('Value error, ')}{known}")
    return "; ".join(lines)
