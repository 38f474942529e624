-- name: add_cluster
-- Create a cluster. Returns nothing if the slug is taken, or if the team has a default cluster and this would be a
-- second one.
INSERT INTO clusters (team_id, slug, display_name, description, is_default, created_us)
VALUES (:team, :slug, :display_name, :description, :is_default, :now_us)
ON CONFLICT DO NOTHING
RETURNING number, team_id, slug, display_name, description, is_default, created_us;

-- name: default_cluster
-- Return the cluster that gets the tasks of a team that name no cluster.
SELECT number, team_id, slug, display_name, description, is_default, created_us
FROM clusters
WHERE team_id = :team AND is_default AND deleted_us IS NULL;

-- name: cluster
-- Return a cluster by slug.
SELECT number, team_id, slug, display_name, description, is_default, created_us
FROM clusters
WHERE team_id = :team AND slug = :slug AND deleted_us IS NULL;

-- name: clusters
-- Return a team's clusters, the oldest first.
SELECT number, team_id, slug, display_name, description, is_default, created_us
FROM clusters
WHERE team_id = :team AND deleted_us IS NULL
ORDER BY number;

-- name: update_cluster
-- Change the texts of a cluster; null leaves one as it is.
UPDATE clusters SET
    display_name = coalesce(:display_name, display_name),
    description = coalesce(:description, description)
WHERE team_id = :team AND slug = :slug AND deleted_us IS NULL
RETURNING number, team_id, slug, display_name, description, is_default, created_us;

-- name: delete_cluster
-- Mark a cluster as deleted. Its row remains, because queues of finished tasks refer to it.
UPDATE clusters SET deleted_us = :now_us
WHERE team_id = :team AND slug = :slug AND deleted_us IS NULL
RETURNING number, is_default;

-- name: running_in_cluster
-- Tell whether tasks run in a cluster.
SELECT 1 AS found WHERE EXISTS (
    SELECT 1 FROM tasks
    WHERE state = 2 AND queue IN (SELECT number FROM queues WHERE cluster = :cluster)
);

-- name: waiting_in_cluster
-- Tell whether tasks of unfinished jobs wait in a cluster.
SELECT 1 AS found WHERE EXISTS (
    SELECT 1
    FROM jobs
    JOIN task_groups ON task_groups.job_id = jobs.id
    JOIN tasks ON tasks.group_id = task_groups.id
    WHERE jobs.team_id = :team AND jobs.open_groups > 0 AND jobs.failed = 0 AND NOT jobs.is_canceled
        AND tasks.state = 1 AND tasks.queue IN (SELECT number FROM queues WHERE cluster = :cluster)
);

-- name: queue_by_number
-- Return a queue by number.
SELECT number, cluster, name, major, minor FROM queues WHERE number = :number;
