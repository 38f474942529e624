"""The verbs of clusters, written once for both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tilebox.errors import ConflictError, NotFoundError
from tilebox.server.store.sql.statements import Steps, call
from tilebox.server.store.sql.transactions import Transactions, reads, writes
from tilebox.server.store.work.clusters import Cluster, ClusterStore
from tilebox.server.store.work.interface import Queue

if TYPE_CHECKING:
    from tilebox.server.store.sql.statements import Row


class ClusterVerbs(Transactions, ClusterStore):
    """The verbs of `ClusterStore`, for a back end that runs transactions."""

    @writes
    def add_cluster(self, team: UUID, *, slug: str, display_name: str, description: str, now_us: int) -> Steps[Cluster]:
        """Create a cluster."""
        yield from _check_team(team)
        rows = yield call(
            "add_cluster",
            team=team,
            slug=slug,
            display_name=display_name,
            description=description,
            is_default=False,
            now_us=now_us,
        )
        if not rows:
            raise ConflictError(f"there is a cluster {slug} already: choose another slug, or give none")
        return _cluster(rows[0])

    @writes
    def ensure_default_cluster(self, team: UUID, *, slug: str, display_name: str, now_us: int) -> Steps[Cluster]:
        """Return the team's default cluster; create it under this slug if there is none."""
        yield from _check_team(team)
        rows = yield call("default_cluster", team=team)
        if not rows:
            # Another process may create it at the same moment. The insert then waits for its commit and changes
            # nothing, and the second read finds its row.
            yield call(
                "add_cluster",
                team=team,
                slug=slug,
                display_name=display_name,
                description="",
                is_default=True,
                now_us=now_us,
            )
            rows = yield call("default_cluster", team=team)
        if not rows:
            raise ConflictError(f"there is a cluster {slug} already, and it is not the default cluster: try again")
        return _cluster(rows[0])

    @reads
    def cluster(self, team: UUID, slug: str) -> Steps[Cluster | None]:
        """Return a cluster by slug."""
        rows = yield call("cluster", team=team, slug=slug)
        return _cluster(rows[0]) if rows else None

    @reads
    def clusters(self, team: UUID) -> Steps[list[Cluster]]:
        """Return a team's clusters, the oldest first."""
        return [_cluster(row) for row in (yield call("clusters", team=team))]

    @writes
    def update_cluster(
        self, team: UUID, slug: str, *, display_name: str | None, description: str | None
    ) -> Steps[Cluster]:
        """Change the display name or the description of a cluster; None leaves a text as it is."""
        rows = yield call("update_cluster", team=team, slug=slug, display_name=display_name, description=description)
        if not rows:
            raise NotFoundError(f"there is no cluster {slug}")
        return _cluster(rows[0])

    @writes
    def delete_cluster(self, team: UUID, slug: str, *, now_us: int) -> Steps[None]:
        """Delete a cluster. Its jobs and tasks remain readable."""
        # Deleted first and checked afterwards: the errors below undo it. On PostgreSQL the row is locked from here on.
        rows = yield call("delete_cluster", team=team, slug=slug, now_us=now_us)
        if not rows:
            raise NotFoundError(f"there is no cluster {slug}")
        if rows[0]["is_default"]:
            raise ConflictError(f"{slug} is the default cluster, which cannot be deleted", code="failed_precondition")
        cluster = rows[0]["number"]
        if (yield call("running_in_cluster", cluster=cluster)) or (
            yield call("waiting_in_cluster", cluster=cluster, team=team)
        ):
            raise ConflictError(
                f"tasks wait or run in cluster {slug}: let their jobs end, or cancel them, before deleting it",
                code="failed_precondition",
            )

    @reads
    def queue(self, number: int) -> Steps[Queue | None]:
        """Return a queue by number."""
        rows = yield call("queue_by_number", number=number)
        if not rows:
            return None
        row = rows[0]
        return Queue(row["number"], row["cluster"], row["name"], row["major"], row["minor"])


def _check_team(team: UUID) -> Steps[None]:
    if not (yield call("team_exists", team=team)):
        raise NotFoundError(f"there is no team {team}")


def _cluster(row: Row) -> Cluster:
    team = row["team_id"]
    return Cluster(
        number=row["number"],
        team=team if isinstance(team, UUID) else UUID(bytes=team),
        slug=row["slug"],
        display_name=row["display_name"],
        description=row["description"],
        is_default=bool(row["is_default"]),
        created_us=row["created_us"],
    )
