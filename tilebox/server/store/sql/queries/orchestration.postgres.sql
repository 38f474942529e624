-- name: lock_jobs_of_tasks
-- Lock the jobs of tasks until the transaction ends. The order of ids keeps two transactions from waiting for each
-- other. NO KEY: foreign keys to the jobs can still be checked.
SELECT id FROM jobs WHERE id IN (SELECT job_id FROM tasks WHERE id = ANY(:task)) ORDER BY id FOR NO KEY UPDATE;

-- name: tasks_with_jobs
-- Return tasks with their jobs and groups: what reports on them are judged by.
SELECT tasks.id, tasks.job_id, tasks.group_id, tasks.queue, tasks.state, tasks.lease_number, tasks.is_fenced,
    tasks.is_optional, tasks.is_abandoned, tasks.max_retries, tasks.retries, tasks.crashes, tasks.started_us,
    tasks.leased_until_us, tasks.runner_id, tasks.display, jobs.team_id, jobs.failed, jobs.is_canceled, jobs.last_rank,
    task_groups.parent_id AS group_parent_id, task_groups.open_tasks AS group_open_tasks
FROM tasks JOIN jobs ON jobs.id = tasks.job_id JOIN task_groups ON task_groups.id = tasks.group_id
WHERE tasks.id = ANY(:task);

-- name: lock_job
-- Return a job that is about to be changed, and lock it until the transaction ends.
SELECT id, total, failed, is_canceled, last_rank, open_groups FROM jobs
WHERE id = :job AND team_id = :team
FOR NO KEY UPDATE;

-- name: mark_tasks_computed
-- Mark tasks as computed.
UPDATE tasks SET state = 3, display = given.display, open_groups = given.open_groups, leased_until_us = NULL,
    error = NULL, started_us = given.started_us, stopped_us = given.stopped_us
FROM unnest(:task::bytea[], :display::text[], :open_groups::bigint[], :started_us::bigint[], :stopped_us::bigint[])
    AS given (task, display, open_groups, started_us, stopped_us)
WHERE tasks.id = given.task;

-- name: mark_tasks_ended
-- Mark running tasks as failed or skipped.
UPDATE tasks SET state = given.state, display = given.display, error = given.error, retries = given.retries,
    crashes = given.crashes, leased_until_us = NULL, started_us = given.started_us, stopped_us = given.stopped_us
FROM unnest(:task::bytea[], :state::smallint[], :display::text[], :error::text[], :retries::bigint[],
    :crashes::bigint[], :started_us::bigint[], :stopped_us::bigint[])
    AS given (task, state, display, error, retries, crashes, started_us, stopped_us)
WHERE tasks.id = given.task;

-- name: requeue_tasks
-- Put tasks back into their queues, or let them pause.
UPDATE tasks SET state = 1, display = given.display, error = given.error, retries = given.retries,
    crashes = given.crashes, rank = given.rank, wake_us = given.wake_us, leased_until_us = NULL, runner_id = NULL,
    claim_id = NULL, stopped_us = NULL
FROM unnest(:task::bytea[], :display::text[], :error::text[], :retries::bigint[], :crashes::bigint[],
    :rank::bigint[], :wake_us::bigint[])
    AS given (task, display, error, retries, crashes, rank, wake_us)
WHERE tasks.id = given.task;

-- name: dependents_of_tasks
-- Return what the completion of tasks may lead to: their groups, the parents of the groups, and the dependents of the
-- groups, with their tasks if the dependents are small. Dependents are read only of groups with at most max_completed
-- open tasks, since the others stay open. The limits are equal for all tasks, so only the first of each is read.
SELECT completed.id AS task_id, completed.group_id, task_groups.job_id AS group_job_id, task_groups.parent_id,
    task_groups.open_tasks AS group_open_tasks, parents.open_groups AS parent_open_groups, dependents.id AS dependent_id,
    dependents.size AS dependent_size, dependents.open_dependencies AS dependent_open_dependencies,
    tasks.id, tasks.job_id, tasks.queue, tasks.position, tasks.lease_number + 1 AS lease_number, tasks.input,
    tasks.display, tasks.retries, tasks.max_retries
FROM tasks AS completed
JOIN task_groups ON task_groups.id = completed.group_id
LEFT JOIN tasks AS parents ON parents.id = task_groups.parent_id
LEFT JOIN task_group_dependencies AS dependencies
    ON dependencies.group_id = task_groups.id AND task_groups.open_tasks <= (:max_completed::bigint[])[1]
LEFT JOIN task_groups AS dependents ON dependents.id = dependencies.dependent_id
LEFT JOIN tasks ON tasks.group_id = dependents.id AND dependents.size <= (:max_size::bigint[])[1]
    AND dependents.open_dependencies <= (:max_completed::bigint[])[1]
    AND tasks.state = 1 AND tasks.rank IS NULL AND tasks.wake_us IS NULL
WHERE completed.id = ANY(:task);

-- name: decrement_groups
-- Subtract completed tasks and completed dependencies from the counters of groups.
UPDATE task_groups SET open_tasks = open_tasks - given.tasks, open_dependencies = open_dependencies - given.dependencies
FROM unnest(:group::bytea[], :tasks::bigint[], :dependencies::bigint[]) AS given (id, tasks, dependencies)
WHERE task_groups.id = given.id;

-- name: decrement_parents
-- Subtract completed groups of subtasks from the counters of their parent tasks.
UPDATE tasks SET open_groups = open_groups - given.count
FROM unnest(:task::bytea[], :count::bigint[]) AS given (id, count)
WHERE tasks.id = given.id;

-- name: release_groups
-- Give the tasks of groups their ranks, which makes them ready.
UPDATE tasks SET rank = given.rank + position
FROM unnest(:group::bytea[], :rank::bigint[]) AS given (id, rank)
WHERE group_id = given.id AND state = 1 AND tasks.rank IS NULL AND wake_us IS NULL
RETURNING queue;

-- name: add_groups
-- Create groups.
INSERT INTO task_groups (id, job_id, parent_id, size, open_tasks, open_dependencies)
SELECT * FROM unnest(:id::bytea[], :job::bytea[], :parent::bytea[], :size::bigint[], :open_tasks::bigint[],
    :open_dependencies::bigint[]);

-- name: add_dependencies
-- Create dependencies between groups.
INSERT INTO task_group_dependencies (group_id, dependent_id) SELECT * FROM unnest(:group::bytea[], :dependent::bytea[]);

-- name: add_tasks
-- Create tasks.
INSERT INTO tasks (id, job_id, group_id, position, queue, state, rank, display, input, max_retries, is_optional)
SELECT * FROM unnest(:id::bytea[], :job::bytea[], :group::bytea[], :position::bigint[], :queue::bigint[],
    :state::smallint[], :rank::bigint[], :display::text[], :input::bytea[], :max_retries::bigint[],
    :is_optional::boolean[]);

-- name: update_job_counts
-- Add to the counts of jobs.
UPDATE jobs SET
    total = jobs.total + given.total,
    computed = jobs.computed + given.computed,
    failed = jobs.failed + given.failed,
    failed_optional = jobs.failed_optional + given.failed_optional,
    skipped = jobs.skipped + given.skipped,
    open_groups = jobs.open_groups - given.closed_groups,
    last_rank = given.last_rank,
    first_started_us = least(first_started_us, given.started_us),
    last_stopped_us = greatest(last_stopped_us, given.stopped_us),
    compute_us = jobs.compute_us + given.compute_us
FROM unnest(:job::bytea[], :total::bigint[], :computed::bigint[], :failed::bigint[], :failed_optional::bigint[],
    :skipped::bigint[], :closed_groups::bigint[], :last_rank::bigint[], :started_us::bigint[], :stopped_us::bigint[],
    :compute_us::bigint[])
    AS given (job, total, computed, failed, failed_optional, skipped, closed_groups, last_rank, started_us, stopped_us,
        compute_us)
WHERE jobs.id = given.job;

-- name: ready_tasks
-- Return the first ready tasks of queues, with the numbers that their next leases will have, and lock them. SKIP LOCKED
-- lets concurrent claims pass over each other's tasks instead of waiting.
SELECT first.*
FROM unnest(:queue::bigint[], :count::bigint[]) AS given (queue, count)
CROSS JOIN LATERAL (
    SELECT id, job_id, queue, rank, lease_number + 1 AS lease_number, input, display, retries, max_retries
    FROM tasks
    WHERE tasks.queue = given.queue AND rank IS NOT NULL
    ORDER BY rank, id
    LIMIT given.count
    FOR UPDATE SKIP LOCKED
) AS first
ORDER BY rank, id
LIMIT (:count::bigint[])[1];

-- name: lease_tasks
-- Lease tasks to a runner. All values but the ids are equal for all tasks, so only the first of each is read.
UPDATE tasks SET state = 2, rank = NULL, lease_number = lease_number + 1, is_fenced = (:is_fenced::boolean[])[1],
    leased_until_us = (:until_us::bigint[])[1], runner_id = (:runner::bytea[])[1], claim_id = (:claim::bytea[])[1],
    started_us = (:now_us::bigint[])[1]
WHERE id = ANY(:task);

-- name: extend_leases
-- Extend leases that still exist.
UPDATE tasks SET leased_until_us = given.until_us
FROM unnest(:task::bytea[], :lease::bigint[], :until_us::bigint[]) AS given (task, lease, until_us)
WHERE tasks.id = given.task AND state = 2 AND is_fenced = (given.lease IS NOT NULL)
    AND lease_number = coalesce(given.lease, lease_number)
RETURNING tasks.id;

-- name: unqueue_jobs
-- Take the ready tasks of jobs out of their queues.
UPDATE tasks SET rank = NULL
WHERE group_id IN (SELECT id FROM task_groups WHERE job_id = ANY(:job) AND open_dependencies = 0) AND rank IS NOT NULL;

-- name: lock_jobs
-- Return whether jobs have failed or were canceled, and lock them in the order of their ids.
SELECT id, failed, is_canceled FROM jobs WHERE id = ANY(:job) ORDER BY id FOR NO KEY UPDATE;

-- name: wake_tasks
-- End the pauses of tasks, unless they were changed meanwhile.
UPDATE tasks SET wake_us = NULL, rank = given.rank
FROM unnest(:task::bytea[], :rank::bigint[], :now_us::bigint[]) AS given (task, rank, now_us)
WHERE tasks.id = given.task AND wake_us <= given.now_us AND state = 1
RETURNING queue, tasks.rank;

-- name: ready_in_queue
-- Tell whether queues have ready tasks. The order is that of the index tasks_ready, so one entry of it is read.
SELECT 1 AS found
FROM unnest(:queue::bigint[]) AS given (queue)
CROSS JOIN LATERAL (
    SELECT id FROM tasks WHERE tasks.queue = given.queue AND rank IS NOT NULL ORDER BY rank, id LIMIT 1
) AS first
LIMIT 1;

-- name: paused_in_queue
-- Tell whether tasks of queues pause before their next attempt.
SELECT 1 AS found WHERE EXISTS (
    SELECT 1 FROM tasks JOIN jobs ON jobs.id = tasks.job_id
    WHERE tasks.wake_us IS NOT NULL AND tasks.queue = ANY(:queue) AND jobs.failed = 0 AND NOT jobs.is_canceled
);

-- name: blocked_in_queue
-- Tell whether tasks of queues wait for others while tasks of their jobs are running.
SELECT 1 AS found WHERE EXISTS (
    SELECT 1
    FROM (SELECT DISTINCT job_id FROM tasks WHERE state = 2) AS busy
    JOIN jobs ON jobs.id = busy.job_id
    JOIN task_groups ON task_groups.job_id = busy.job_id
    JOIN tasks ON tasks.group_id = task_groups.id
    WHERE jobs.failed = 0 AND NOT jobs.is_canceled AND task_groups.open_dependencies > 0
        AND tasks.state = 1 AND tasks.queue = ANY(:queue)
);

-- name: add_attempts
-- Record attempts that failed.
INSERT INTO task_attempts (task_id, lease_number, job_id, runner_id, started_us, stopped_us, outcome, error)
SELECT * FROM unnest(:task::bytea[], :lease::bigint[], :job::bytea[], :runner::bytea[], :started_us::bigint[],
    :stopped_us::bigint[], :outcome::text[], :error::text[])
ON CONFLICT DO NOTHING;

-- name: clear_progress
-- Delete the progress that earlier attempts of tasks reported.
DELETE FROM task_progress WHERE job_id = ANY(:job) AND task_id = ANY(:task);

-- name: upsert_progress
-- Record the progress of tasks.
INSERT INTO task_progress (job_id, label, task_id, total, done)
SELECT * FROM unnest(:job::bytea[], :label::text[], :task::bytea[], :total::bigint[], :done::bigint[])
ON CONFLICT (job_id, label, task_id) DO UPDATE SET total = excluded.total, done = excluded.done;

-- name: announce
-- Notify the other processes. PostgreSQL delivers it when this transaction commits.
SELECT pg_notify('tilebox_work', :message);

-- name: clock
-- Return the time of the database's clock, which all servers share.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us;
