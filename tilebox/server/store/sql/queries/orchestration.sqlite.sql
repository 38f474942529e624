-- name: lock_jobs_of_tasks
-- Do nothing: SQLite has one writer at a time.

-- name: tasks_with_jobs
-- Return a task with its job and its group: what a report on it is judged by. Called for each task.
SELECT tasks.id, tasks.job_id, tasks.group_id, tasks.queue, tasks.state, tasks.lease_number, tasks.is_fenced,
    tasks.is_optional, tasks.is_abandoned, tasks.max_retries, tasks.retries, tasks.crashes, tasks.started_us,
    tasks.leased_until_us, tasks.runner_id, tasks.display, jobs.team_id, jobs.failed, jobs.is_canceled, jobs.last_rank,
    task_groups.parent_id AS group_parent_id, task_groups.open_tasks AS group_open_tasks
FROM tasks JOIN jobs ON jobs.id = tasks.job_id JOIN task_groups ON task_groups.id = tasks.group_id
WHERE tasks.id = :task;

-- name: lock_job
-- Return a job that is about to be changed. SQLite has one writer at a time, so no lock is needed.
SELECT id, total, failed, is_canceled, last_rank, open_groups FROM jobs WHERE id = :job AND team_id = :team;

-- name: mark_tasks_computed
-- Mark a task as computed. Called for each task.
UPDATE tasks SET state = 3, display = :display, open_groups = :open_groups, leased_until_us = NULL, error = NULL,
    started_us = :started_us, stopped_us = :stopped_us
WHERE id = :task;

-- name: mark_tasks_ended
-- Mark a running task as failed or skipped. Called for each task.
UPDATE tasks SET state = :state, display = :display, error = :error, retries = :retries, crashes = :crashes,
    leased_until_us = NULL, started_us = :started_us, stopped_us = :stopped_us
WHERE id = :task;

-- name: requeue_tasks
-- Put a task back into its queue, or let it pause. Called for each task.
UPDATE tasks SET state = 1, display = :display, error = :error, retries = :retries, crashes = :crashes,
    rank = :rank, wake_us = :wake_us, leased_until_us = NULL, runner_id = NULL, claim_id = NULL, stopped_us = NULL
WHERE id = :task;

-- name: dependents_of_tasks
-- Return what the completion of a task may lead to: its group, the parent of the group, and the dependents of the
-- group, with their tasks if the dependents are small. Dependents are read only if the group has at most max_completed
-- open tasks, since it stays open otherwise. Called for each task.
SELECT completed.id AS task_id, completed.group_id, task_groups.job_id AS group_job_id, task_groups.parent_id,
    task_groups.open_tasks AS group_open_tasks, parents.open_groups AS parent_open_groups, dependents.id AS dependent_id,
    dependents.size AS dependent_size, dependents.open_dependencies AS dependent_open_dependencies,
    tasks.id, tasks.job_id, tasks.queue, tasks.position, tasks.lease_number + 1 AS lease_number, tasks.input,
    tasks.display, tasks.retries, tasks.max_retries
FROM tasks AS completed
JOIN task_groups ON task_groups.id = completed.group_id
LEFT JOIN tasks AS parents ON parents.id = task_groups.parent_id
LEFT JOIN task_group_dependencies AS dependencies
    ON dependencies.group_id = task_groups.id AND task_groups.open_tasks <= :max_completed
LEFT JOIN task_groups AS dependents ON dependents.id = dependencies.dependent_id
LEFT JOIN tasks ON tasks.group_id = dependents.id AND dependents.size <= :max_size
    AND dependents.open_dependencies <= :max_completed
    AND tasks.state = 1 AND tasks.rank IS NULL AND tasks.wake_us IS NULL
WHERE completed.id = :task;

-- name: decrement_groups
-- Subtract completed tasks and completed dependencies from the counters of a group. Called for each group.
UPDATE task_groups SET open_tasks = open_tasks - :tasks, open_dependencies = open_dependencies - :dependencies
WHERE id = :group;

-- name: decrement_parents
-- Subtract completed groups of subtasks from the counter of their parent task. Called for each parent.
UPDATE tasks SET open_groups = open_groups - :count WHERE id = :task;

-- name: release_groups
-- Give the tasks of a group their ranks, which makes them ready. Called for each group.
UPDATE tasks SET rank = :rank + position
WHERE group_id = :group AND state = 1 AND rank IS NULL AND wake_us IS NULL
RETURNING queue;

-- name: add_groups
-- Create a group. Called for each group.
INSERT INTO task_groups (id, job_id, parent_id, size, open_tasks, open_dependencies)
VALUES (:id, :job, :parent, :size, :open_tasks, :open_dependencies);

-- name: add_dependencies
-- Create a dependency. Called for each pair of groups.
INSERT INTO task_group_dependencies (group_id, dependent_id) VALUES (:group, :dependent);

-- name: add_tasks
-- Create a task. Called for each task.
INSERT INTO tasks (id, job_id, group_id, position, queue, state, rank, display, input, max_retries, is_optional)
VALUES (:id, :job, :group, :position, :queue, :state, :rank, :display, :input, :max_retries, :is_optional);

-- name: update_job_counts
-- Add to the counts of a job. Called for each job.
UPDATE jobs SET
    total = total + :total,
    computed = computed + :computed,
    failed = failed + :failed,
    failed_optional = failed_optional + :failed_optional,
    skipped = skipped + :skipped,
    open_groups = open_groups - :closed_groups,
    last_rank = :last_rank,
    first_started_us = min(coalesce(first_started_us, :started_us), coalesce(:started_us, first_started_us)),
    last_stopped_us = max(coalesce(last_stopped_us, :stopped_us), coalesce(:stopped_us, last_stopped_us)),
    compute_us = compute_us + :compute_us
WHERE id = :job;

-- name: ready_tasks
-- Return the first ready tasks of a queue, with the numbers that their next leases will have. Called for each queue.
SELECT id, job_id, queue, rank, lease_number + 1 AS lease_number, input, display, retries, max_retries
FROM tasks
WHERE queue = :queue AND rank IS NOT NULL
ORDER BY rank, id
LIMIT :count;

-- name: lease_tasks
-- Lease a task to a runner. Called for each task.
UPDATE tasks SET state = 2, rank = NULL, lease_number = lease_number + 1, is_fenced = :is_fenced,
    leased_until_us = :until_us, runner_id = :runner, claim_id = :claim, started_us = :now_us
WHERE id = :task;

-- name: extend_leases
-- Extend a lease, if it still exists. Called for each lease.
UPDATE tasks SET leased_until_us = :until_us
WHERE id = :task AND state = 2 AND is_fenced = (:lease IS NOT NULL) AND lease_number = coalesce(:lease, lease_number)
RETURNING id;

-- name: unqueue_jobs
-- Take the ready tasks of a job out of their queues. Called for each job.
UPDATE tasks SET rank = NULL
WHERE group_id IN (SELECT id FROM task_groups WHERE job_id = :job AND open_dependencies = 0) AND rank IS NOT NULL;

-- name: lock_jobs
-- Return whether a job has failed or was canceled. SQLite has one writer at a time, so no lock is needed. Called for
-- each job.
SELECT id, failed, is_canceled FROM jobs WHERE id = :job;

-- name: wake_tasks
-- End the pause of a task, unless it was changed meanwhile. Called for each task.
UPDATE tasks SET wake_us = NULL, rank = :rank WHERE id = :task AND wake_us <= :now_us AND state = 1
RETURNING queue, rank;

-- name: ready_in_queue
-- Tell whether a queue has ready tasks. Called for each queue.
SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM tasks WHERE queue = :queue AND rank IS NOT NULL);

-- name: paused_in_queue
-- Tell whether tasks of a queue pause before their next attempt. Called for each queue.
SELECT 1 AS found WHERE EXISTS (
    SELECT 1 FROM tasks JOIN jobs ON jobs.id = tasks.job_id
    WHERE tasks.wake_us IS NOT NULL AND tasks.queue = :queue AND jobs.failed = 0 AND NOT jobs.is_canceled
);

-- name: blocked_in_queue
-- Tell whether tasks of a queue wait for others while tasks of their job are running. Called for each queue.
SELECT 1 AS found WHERE EXISTS (
    SELECT 1
    FROM (SELECT DISTINCT job_id FROM tasks WHERE state = 2) AS busy
    JOIN jobs ON jobs.id = busy.job_id
    JOIN task_groups ON task_groups.job_id = busy.job_id
    JOIN tasks ON tasks.group_id = task_groups.id
    WHERE jobs.failed = 0 AND NOT jobs.is_canceled AND task_groups.open_dependencies > 0
        AND tasks.state = 1 AND tasks.queue = :queue
);

-- name: add_attempts
-- Record an attempt that failed. Called for each attempt.
INSERT INTO task_attempts (task_id, lease_number, job_id, runner_id, started_us, stopped_us, outcome, error)
VALUES (:task, :lease, :job, :runner, :started_us, :stopped_us, :outcome, :error)
ON CONFLICT DO NOTHING;

-- name: clear_progress
-- Delete the progress that earlier attempts of a task reported. Called for each task.
DELETE FROM task_progress WHERE job_id = :job AND task_id = :task;

-- name: upsert_progress
-- Record the progress of a task. Called for each label.
INSERT INTO task_progress (job_id, label, task_id, total, done) VALUES (:job, :label, :task, :total, :done)
ON CONFLICT (job_id, label, task_id) DO UPDATE SET total = excluded.total, done = excluded.done;

-- name: announce
-- Do nothing: only one process uses the file.

-- name: clock
-- Return null: the file has no clock of its own.
SELECT NULL AS now_us;
