-- name: lock_jobs_of_tasks
-- Nothing: there is one writer.

-- name: held_tasks
-- What a report on a task is judged by. For each task.
SELECT tasks.id, tasks.job_id, tasks.group_id, tasks.queue, tasks.state, tasks.lease_number, tasks.is_fenced,
    tasks.is_optional, tasks.is_abandoned, tasks.max_retries, tasks.retries, tasks.crashes, tasks.started_us,
    tasks.leased_until_us, tasks.runner_id, tasks.display, jobs.team_id, jobs.failed, jobs.is_canceled, jobs.last_rank,
    task_groups.parent_id AS group_parent_id, task_groups.open_tasks AS group_open_tasks
FROM tasks JOIN jobs ON jobs.id = tasks.job_id JOIN task_groups ON task_groups.id = tasks.group_id
WHERE tasks.id = :task;

-- name: lock_job
-- A job that is about to be changed.
SELECT id, total, failed, is_canceled, last_rank, open_groups FROM jobs WHERE id = :job AND team_id = :team;

-- name: compute_tasks
-- Note that tasks were computed. For each task.
UPDATE tasks SET state = 3, display = :display, open_groups = :open_groups, leased_until_us = NULL, error = NULL,
    started_us = :started_us, stopped_us = :stopped_us
WHERE id = :task;

-- name: end_tasks
-- Note that tasks ended otherwise. For each task.
UPDATE tasks SET state = :state, display = :display, error = :error, retries = :retries, crashes = :crashes,
    leased_until_us = NULL, started_us = :started_us, stopped_us = :stopped_us
WHERE id = :task;

-- name: requeue_tasks
-- Put tasks back. For each task.
UPDATE tasks SET state = 1, display = :display, error = :error, retries = :retries, crashes = :crashes,
    rank = :rank, wake_us = :wake_us, leased_until_us = NULL, runner_id = NULL, claim_id = NULL, stopped_us = NULL
WHERE id = :task;

-- name: behind_tasks
-- What the completion of a task may lead to, if no more tasks than a count are completed: its group, the task that
-- submitted that, and the groups that wait for it, with their tasks if these are few. For each task.
SELECT completed.id AS task_id, completed.group_id, own.job_id AS group_job_id, own.parent_id,
    own.open_tasks AS group_open_tasks, submitters.open_groups AS submitter_open_groups, waiting.id AS waiting_id,
    waiting.size AS waiting_size, waiting.open_dependencies AS waiting_open_dependencies,
    tasks.id, tasks.job_id, tasks.queue, tasks.position, tasks.lease_number + 1 AS lease_number, tasks.input,
    tasks.display, tasks.retries, tasks.max_retries
FROM tasks AS completed
JOIN task_groups AS own ON own.id = completed.group_id
LEFT JOIN tasks AS submitters ON submitters.id = own.parent_id
LEFT JOIN task_group_dependencies AS dependencies ON dependencies.group_id = own.id AND own.open_tasks <= :count
LEFT JOIN task_groups AS waiting ON waiting.id = dependencies.dependent_id
LEFT JOIN tasks ON tasks.group_id = waiting.id AND waiting.size <= :few AND waiting.open_dependencies <= :count
    AND tasks.state = 1 AND tasks.rank IS NULL AND tasks.wake_us IS NULL
WHERE completed.id = :task;

-- name: count_off_groups
-- Count completed tasks off their group, and completed groups off one that waits for them. For each group.
UPDATE task_groups SET open_tasks = open_tasks - :tasks, open_dependencies = open_dependencies - :dependencies
WHERE id = :group;

-- name: count_off_submitters
-- Count completed groups off the task that submitted them. For each task.
UPDATE tasks SET open_groups = open_groups - :count WHERE id = :task;

-- name: release_groups
-- Give the tasks of a group their turn. For each group.
UPDATE tasks SET rank = :rank + position
WHERE group_id = :group AND state = 1 AND rank IS NULL AND wake_us IS NULL
RETURNING queue;

-- name: add_groups
-- Keep groups. For each group.
INSERT INTO task_groups (id, job_id, parent_id, size, open_tasks, open_dependencies)
VALUES (:id, :job, :parent, :size, :open_tasks, :open_dependencies);

-- name: add_dependencies
-- Keep what a group waits for. For each pair of groups.
INSERT INTO task_group_dependencies (group_id, dependent_id) VALUES (:group, :dependent);

-- name: add_tasks
-- Keep tasks. For each task.
INSERT INTO tasks (id, job_id, group_id, position, queue, state, rank, display, input, max_retries, is_optional)
VALUES (:id, :job, :group, :position, :queue, :state, :rank, :display, :input, :max_retries, :is_optional);

-- name: change_jobs
-- Add to a job's counts. For each job.
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
-- The first tasks of a queue, with the number of the lease that they are about to get. For each queue.
SELECT id, job_id, queue, rank, lease_number + 1 AS lease_number, input, display, retries, max_retries
FROM tasks
WHERE queue = :queue AND rank IS NOT NULL
ORDER BY rank, id
LIMIT :count;

-- name: lease_tasks
-- Hand tasks out. For each task.
UPDATE tasks SET state = 2, rank = NULL, lease_number = lease_number + 1, is_fenced = :is_fenced,
    leased_until_us = :until_us, runner_id = :runner, claim_id = :claim, started_us = :now_us
WHERE id = :task;

-- name: extend_leases
-- Extend leases. For each lease.
UPDATE tasks SET leased_until_us = :until_us
WHERE id = :task AND state = 2 AND is_fenced = (:lease IS NOT NULL) AND lease_number = coalesce(:lease, lease_number)
RETURNING id;

-- name: stop_jobs
-- Take the tasks of a job out of their queues. For each job.
UPDATE tasks SET rank = NULL
WHERE group_id IN (SELECT id FROM task_groups WHERE job_id = :job AND open_dependencies = 0) AND rank IS NOT NULL;

-- name: live_jobs
-- Which jobs hand out tasks. For each job.
SELECT id, failed, is_canceled FROM jobs WHERE id = :job;

-- name: wake_tasks
-- End the pause of tasks. For each task.
UPDATE tasks SET wake_us = NULL, rank = :rank WHERE id = :task AND wake_us <= :now_us AND state = 1
RETURNING queue, rank;

-- name: ready_in_queue
-- Whether tasks of a queue can be handed out. For each queue.
SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM tasks WHERE queue = :queue AND rank IS NOT NULL);

-- name: asleep_in_queue
-- Whether tasks of a queue wait for a pause to end. For each queue.
SELECT 1 AS found WHERE EXISTS (
    SELECT 1 FROM tasks JOIN jobs ON jobs.id = tasks.job_id
    WHERE tasks.wake_us IS NOT NULL AND tasks.queue = :queue AND jobs.failed = 0 AND NOT jobs.is_canceled
);

-- name: blocked_behind_running
-- Whether tasks of a queue wait while others of their job are being executed. For each queue.
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
-- Keep attempts that did not end well. For each attempt.
INSERT INTO task_attempts (task_id, lease_number, job_id, runner_id, started_us, stopped_us, outcome, error)
VALUES (:task, :lease, :job, :runner, :started_us, :stopped_us, :outcome, :error)
ON CONFLICT DO NOTHING;

-- name: clear_progress
-- Forget what earlier attempts said of their progress. For each task.
DELETE FROM task_progress WHERE job_id = :job AND task_id = :task;

-- name: put_progress
-- Keep how far a task is. For each label.
INSERT INTO task_progress (job_id, label, task_id, total, done) VALUES (:job, :label, :task, :total, :done)
ON CONFLICT (job_id, label, task_id) DO UPDATE SET total = excluded.total, done = excluded.done;

-- name: announce
-- Nothing: there is one process.

-- name: clock
-- Nothing: the file has no clock of its own.
SELECT NULL AS now_us;
