"""Creation of the engine from the arguments of a runner, which are checked before any request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilebox._core.runner.registry import Registry
from tilebox._runner.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilebox._core.wire.config import Config
    from tilebox._runner.executor import Executor

MAX_CONCURRENCY = 1024


def open_engine(
    config: Config,
    cluster: str,
    tasks: Iterable[Any] | None,
    cache: Any,
    context: Any,
    *,
    concurrency: int,
    isolation: str,
    grace_seconds: float,
    time_limit: float | None,
    memory_limit: int | None,
    recycle_after: int | None,
    logger: Any,
) -> Engine:
    """Return the engine of a runner; see `TaskRunner`."""
    registry = Registry(tasks or ())
    if not registry.identifiers:
        raise ValueError("a runner needs at least one task class: client.runner(tasks=[...])")
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= MAX_CONCURRENCY:
        raise ValueError(f"concurrency must be an integer from 1 to {MAX_CONCURRENCY}, got {concurrency!r}")
    if not grace_seconds >= 0:
        raise ValueError(f"grace_seconds must not be negative, got {grace_seconds!r}")
    limits = {"time_limit": time_limit, "memory_limit": memory_limit, "recycle_after": recycle_after}
    for name, limit in limits.items():
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be more than 0, got {limit!r}")
        if limit is not None and isolation != "process":
            raise ValueError(f'{name} needs tasks in child processes: set isolation="process"')
    return Engine(
        config,
        cluster=cluster,
        identifiers=registry.identifiers,
        executor=_executor(registry, cache, context, isolation, logger, limits),
        concurrency=concurrency,
        grace_seconds=grace_seconds,
    )


def _executor(
    registry: Registry, cache: Any, context: Any, isolation: str, logger: Any, limits: dict[str, Any]
) -> Executor:
    if isolation == "thread":
        from tilebox._runner.executor import ThreadExecutor

        return ThreadExecutor(registry, cache, context, logger)
    if isolation == "process":
        from tilebox._runner.processes.executor import ProcessExecutor

        return ProcessExecutor(registry, cache, context, **limits)
    raise ValueError(f'isolation must be "thread" or "process", got {isolation!r}')
