-- name: add_job
-- Keep a job.
INSERT INTO jobs (id, team_id, name, trace_parent, automation_id, submitted_us, total, open_groups, last_rank)
VALUES (:id, :team, :name, :trace_parent, :automation, :submitted_us, :total, :open_groups, :last_rank);

-- name: queues
-- All queues of a cluster.
SELECT number, cluster, name, major, minor FROM queues WHERE cluster = :cluster;

-- name: add_queue
-- Create a queue, unless it is there.
INSERT INTO queues (cluster, name, major, minor) VALUES (:cluster, :name, :major, :minor) ON CONFLICT DO NOTHING;

-- name: queue
-- A queue.
SELECT number, cluster, name, major, minor FROM queues
WHERE cluster = :cluster AND name = :name AND major = :major AND minor = :minor;

-- name: note_runner
-- Note that a runner was heard of.
INSERT INTO runners (id, cluster, identifiers, seen_us) VALUES (:runner, :cluster, :identifiers, :now_us)
ON CONFLICT (cluster, id) DO UPDATE SET identifiers = excluded.identifiers, seen_us = excluded.seen_us;

-- name: forget_runners
-- Forget runners that were not heard of for long.
DELETE FROM runners WHERE seen_us < :before_us;

-- name: latest_note
-- When a runner was heard of last.
SELECT max(seen_us) AS seen_us FROM runners;

-- name: set_back_notes
-- Note that runners were heard of no later than now.
UPDATE runners SET seen_us = :now_us WHERE seen_us > :now_us;

-- name: shorten_leases
-- End leases that are always extended by one length, and that would last longer.
UPDATE tasks SET leased_until_us = :until_us WHERE state = 2 AND is_fenced AND leased_until_us > :until_us;

-- name: set_back_leases
-- End the other leases earlier.
UPDATE tasks SET leased_until_us = leased_until_us - :back_us WHERE state = 2 AND NOT is_fenced;

-- name: set_back_pauses
-- Let pauses that followed an attempt of later than now begin now.
UPDATE tasks SET wake_us = wake_us + :now_us - (
    SELECT task_attempts.stopped_us FROM task_attempts
    WHERE task_id = tasks.id AND task_attempts.lease_number = tasks.lease_number
)
WHERE wake_us IS NOT NULL AND EXISTS (
    SELECT 1 FROM task_attempts
    WHERE task_id = tasks.id AND task_attempts.lease_number = tasks.lease_number
        AND task_attempts.stopped_us > :now_us
);

-- name: set_back_attempts
-- Note that the attempts before pauses ended no later than now.
UPDATE task_attempts SET stopped_us = :now_us, started_us = CASE WHEN started_us > :now_us THEN :now_us ELSE started_us END
WHERE task_id IN (SELECT id FROM tasks WHERE wake_us IS NOT NULL) AND stopped_us > :now_us;

-- name: raise_rank
-- Note the rank that was handed out last, unless it is known that a higher one was.
UPDATE clusters SET last_rank = :rank WHERE number = :cluster AND last_rank < :rank;

-- name: cluster_ranks
-- The ranks that were handed out last.
SELECT number, last_rank FROM clusters WHERE deleted_us IS NULL;

-- name: claimed_tasks
-- The tasks that an earlier copy of a request was handed.
SELECT tasks.id, tasks.job_id, tasks.queue, tasks.lease_number, tasks.input, tasks.display, tasks.retries,
    tasks.max_retries
FROM tasks JOIN jobs ON jobs.id = tasks.job_id
WHERE tasks.state = 2 AND tasks.claim_id = :claim AND tasks.runner_id = :runner AND jobs.team_id = :team;

-- name: tasks_of_runner
-- The tasks that a runner holds, of those that know the numbers of their leases.
SELECT tasks.id, tasks.lease_number, tasks.crashes
FROM tasks JOIN jobs ON jobs.id = tasks.job_id
WHERE tasks.state = 2 AND tasks.runner_id = :runner AND tasks.is_fenced AND jobs.team_id = :team
LIMIT :count;

-- name: ancestors
-- A task and those above it, the nearest first.
WITH RECURSIVE above (id, group_id, is_optional, depth) AS (
    SELECT id, group_id, is_optional, 0 FROM tasks WHERE id = :task
    UNION ALL
    SELECT tasks.id, tasks.group_id, tasks.is_optional, above.depth + 1
    FROM above
    JOIN task_groups ON task_groups.id = above.group_id
    JOIN tasks ON tasks.id = task_groups.parent_id
)
SELECT id, is_optional FROM above ORDER BY depth;

-- name: skip_below
-- Skip what waits below a task.
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

-- name: abandon_below
-- Note below a task that what running tasks submit is to be skipped.
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
-- Running tasks whose lease is over.
SELECT id AS task FROM tasks WHERE state = 2 AND leased_until_us < :now_us LIMIT :count;

-- name: due_tasks
-- Tasks whose pause is over.
SELECT tasks.id AS task, tasks.queue, tasks.job_id
FROM tasks
WHERE wake_us IS NOT NULL AND wake_us <= :now_us
ORDER BY wake_us
LIMIT :count;

-- name: next_wake
-- When the next pause is over.
SELECT min(wake_us) AS wake_us FROM tasks WHERE wake_us IS NOT NULL;

-- name: requeue_failed
-- Queue the failed tasks of a job again, with all their retries.
UPDATE tasks SET state = 1, retries = 0, crashes = 0, stopped_us = NULL
WHERE state = 4 AND group_id IN (SELECT id FROM task_groups WHERE job_id = :job)
RETURNING id;

-- name: open_groups_of_job
-- The groups of a job that wait for nothing and are not completed.
SELECT id, size FROM task_groups WHERE job_id = :job AND open_dependencies = 0 AND open_tasks > 0 ORDER BY id;

-- name: cancel_job
-- Note that a job was canceled.
UPDATE jobs SET is_canceled = true WHERE id = :job;

-- name: revive_job
-- Note that a job goes on.
UPDATE jobs SET is_canceled = false, failed = 0 WHERE id = :job;
