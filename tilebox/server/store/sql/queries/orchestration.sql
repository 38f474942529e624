-- name: add_job
-- Create a job.
INSERT INTO jobs (id, team_id, name, trace_parent, automation_id, submitted_us, total, open_groups, last_rank)
VALUES (:id, :team, :name, :trace_parent, :automation, :submitted_us, :total, :open_groups, :last_rank);

-- name: queues
-- Return all queues of a cluster.
SELECT number, cluster, name, major, minor FROM queues WHERE cluster = :cluster;

-- name: add_queue
-- Create a queue, unless it exists.
INSERT INTO queues (cluster, name, major, minor) VALUES (:cluster, :name, :major, :minor) ON CONFLICT DO NOTHING;

-- name: queue
-- Return the queue of a cluster, identifier and version.
SELECT number, cluster, name, major, minor FROM queues
WHERE cluster = :cluster AND name = :name AND major = :major AND minor = :minor;

-- name: upsert_runner
-- Record when a runner was last seen, and what it executes.
INSERT INTO runners (id, cluster, identifiers, seen_us) VALUES (:runner, :cluster, :identifiers, :now_us)
ON CONFLICT (cluster, id) DO UPDATE SET identifiers = excluded.identifiers, seen_us = excluded.seen_us;

-- name: delete_runners
-- Delete runners that were last seen before a time.
DELETE FROM runners WHERE seen_us < :before_us;

-- name: latest_runner_seen
-- Return the latest time at which any runner was seen.
SELECT max(seen_us) AS seen_us FROM runners;

-- name: rewind_runners_seen
-- Correct sightings of runners that lie in the future.
UPDATE runners SET seen_us = :now_us WHERE seen_us > :now_us;

-- name: cap_fenced_leases
-- Shorten fenced leases that end later than a lease that begins now. Their runners always extend them by the same
-- length.
UPDATE tasks SET leased_until_us = :until_us WHERE state = 2 AND is_fenced AND leased_until_us > :until_us;

-- name: rewind_unfenced_leases
-- Shorten all leases that are not fenced by the same time.
UPDATE tasks SET leased_until_us = leased_until_us - :back_us WHERE state = 2 AND NOT is_fenced;

-- name: rewind_pauses
-- Restart pauses now that follow an attempt which seems to end in the future.
UPDATE tasks SET wake_us = wake_us + :now_us - (
    SELECT task_attempts.stopped_us FROM task_attempts
    WHERE task_id = tasks.id AND task_attempts.lease_number = tasks.lease_number
)
WHERE wake_us IS NOT NULL AND EXISTS (
    SELECT 1 FROM task_attempts
    WHERE task_id = tasks.id AND task_attempts.lease_number = tasks.lease_number
        AND task_attempts.stopped_us > :now_us
);

-- name: rewind_attempts
-- Correct the times of attempts that seem to end in the future and precede a pause.
UPDATE task_attempts SET stopped_us = :now_us,
    started_us = CASE WHEN started_us > :now_us THEN :now_us ELSE started_us END
WHERE task_id IN (SELECT id FROM tasks WHERE wake_us IS NOT NULL) AND stopped_us > :now_us;

-- name: raise_rank
-- Record the rank that was claimed last in a cluster, unless a higher one is known.
UPDATE clusters SET last_rank = :rank WHERE number = :cluster AND last_rank < :rank;

-- name: cluster_ranks
-- Return the rank that was claimed last in each cluster.
SELECT number, last_rank FROM clusters WHERE deleted_us IS NULL;

-- name: claimed_tasks
-- Return the tasks that an earlier copy of a request claimed.
SELECT tasks.id, tasks.job_id, tasks.queue, tasks.lease_number, tasks.input, tasks.display, tasks.retries,
    tasks.max_retries
FROM tasks JOIN jobs ON jobs.id = tasks.job_id
WHERE tasks.state = 2 AND tasks.claim_id = :claim AND tasks.runner_id = :runner AND jobs.team_id = :team;

-- name: tasks_held_by_runner
-- Return the tasks that a runner holds under fenced leases.
SELECT tasks.id, tasks.lease_number, tasks.crashes
FROM tasks JOIN jobs ON jobs.id = tasks.job_id
WHERE tasks.state = 2 AND tasks.runner_id = :runner AND tasks.is_fenced AND jobs.team_id = :team
LIMIT :count;

-- name: ancestors
-- Return a task and its ancestors, the nearest first.
WITH RECURSIVE above (id, group_id, is_optional, depth) AS (
    SELECT id, group_id, is_optional, 0 FROM tasks WHERE id = :task
    UNION ALL
    SELECT tasks.id, tasks.group_id, tasks.is_optional, above.depth + 1
    FROM above
    JOIN task_groups ON task_groups.id = above.group_id
    JOIN tasks ON tasks.id = task_groups.parent_id
)
SELECT id, is_optional FROM above ORDER BY depth;

-- name: skip_descendants
-- Skip the queued descendants of a task.
WITH RECURSIVE below (id) AS (
    SELECT tasks.id FROM task_groups JOIN tasks ON tasks.group_id = task_groups.id
    WHERE task_groups.parent_id = :task
    UNION ALL
    SELECT tasks.id FROM below
    JOIN task_groups ON task_groups.parent_id = below.id
    JOIN tasks ON tasks.group_id = task_groups.id
)
UPDATE tasks SET state = 5, rank = NULL, wake_us = NULL WHERE state = 1 AND id IN (SELECT id FROM below)
RETURNING id, group_id;

-- name: abandon_descendants
-- Mark the running descendants of a task, so that the subtasks which they submit are skipped.
WITH RECURSIVE below (id) AS (
    SELECT tasks.id FROM task_groups JOIN tasks ON tasks.group_id = task_groups.id
    WHERE task_groups.parent_id = :task
    UNION ALL
    SELECT tasks.id FROM below
    JOIN task_groups ON task_groups.parent_id = below.id
    JOIN tasks ON tasks.group_id = task_groups.id
)
UPDATE tasks SET is_abandoned = true WHERE state = 2 AND id IN (SELECT id FROM below)
RETURNING id;

-- name: expired_tasks
-- Return running tasks whose leases have expired.
SELECT id AS task FROM tasks WHERE state = 2 AND leased_until_us < :now_us LIMIT :count;

-- name: due_tasks
-- Return tasks whose pause before the next attempt is over.
SELECT tasks.id AS task, tasks.queue, tasks.job_id
FROM tasks
WHERE wake_us IS NOT NULL AND wake_us <= :now_us
ORDER BY wake_us
LIMIT :count;

-- name: next_wake
-- Return the end of the next pause.
SELECT min(wake_us) AS wake_us FROM tasks WHERE wake_us IS NOT NULL;

-- name: requeue_failed_tasks
-- Queue the failed tasks of a job again, with all their retries. They get no rank yet.
UPDATE tasks SET state = 1, retries = 0, crashes = 0, stopped_us = NULL
WHERE state = 4 AND group_id IN (SELECT id FROM task_groups WHERE job_id = :job)
RETURNING id;

-- name: unblocked_groups
-- Return the open groups of a job that wait for no other group.
SELECT id, size FROM task_groups WHERE job_id = :job AND open_dependencies = 0 AND open_tasks > 0 ORDER BY id;

-- name: cancel_job
-- Mark a job as canceled.
UPDATE jobs SET is_canceled = true WHERE id = :job;

-- name: reopen_job
-- Mark a job as neither canceled nor failed.
UPDATE jobs SET is_canceled = false, failed = 0 WHERE id = :job;
