-- name: job
-- The job of an id, with its running tasks counted.
SELECT id, name, trace_parent, automation_id, submitted_us, is_canceled, total, computed, failed, failed_optional,
    skipped, open_groups, first_started_us, last_stopped_us, compute_us,
    (SELECT count(*) FROM tasks WHERE tasks.job_id = jobs.id AND tasks.state = 2) AS running,
    (SELECT min(tasks.started_us) FROM tasks WHERE tasks.job_id = jobs.id AND tasks.state = 2) AS running_since_us
FROM jobs
WHERE team_id = :team AND id = :job;

-- name: job_brief
-- What of a job never changes.
SELECT name, trace_parent FROM jobs WHERE team_id = :team AND id = :job;

-- name: job_clusters
-- The clusters of a job's root tasks.
SELECT DISTINCT queues.cluster
FROM jobs
JOIN task_groups ON task_groups.job_id = jobs.id
JOIN tasks ON tasks.group_id = task_groups.id
JOIN queues ON queues.number = tasks.queue
WHERE jobs.team_id = :team AND jobs.id = :job AND task_groups.parent_id IS NULL;

-- name: task_state
-- Where a task is.
SELECT tasks.state, queues.cluster
FROM tasks
JOIN jobs ON jobs.id = tasks.job_id
JOIN queues ON queues.number = tasks.queue
WHERE tasks.id = :task AND jobs.team_id = :team;
