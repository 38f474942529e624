-- name: job
-- Return a job by id.
SELECT * FROM jobs_now WHERE team_id = :team AND id = :job;

-- name: job_brief
-- Return the parts of a job that never change.
SELECT name, trace_parent FROM jobs WHERE team_id = :team AND id = :job;

-- name: job_clusters
-- Return the clusters of a job's root tasks.
SELECT DISTINCT queues.cluster
FROM jobs
JOIN task_groups ON task_groups.job_id = jobs.id
JOIN tasks ON tasks.group_id = task_groups.id
JOIN queues ON queues.number = tasks.queue
WHERE jobs.team_id = :team AND jobs.id = :job AND task_groups.parent_id IS NULL;

-- name: jobs_ascending
-- Return the jobs of an interval that match a filter, the earliest first. States are the bits of a number and other
-- lists are texts, since only PostgreSQL has arrays.
SELECT * FROM jobs_now
WHERE team_id = :team AND id >= :first AND id <= :last AND submitted_us >= :start_us AND submitted_us < :end_us
    AND (:states = 0 OR (:states & (1 << state)) > 0)
    AND (:name = '' OR lower(name) LIKE lower(:name) ESCAPE '!')
    AND (:automations = '' OR :automations LIKE '%' || automation_hex || '%')
    AND (:task_states = 0
        OR (:task_states & 2) > 0 AND total > computed + failed + failed_optional + skipped + running
        OR (:task_states & 4) > 0 AND running > 0
        OR (:task_states & 8) > 0 AND computed > 0
        OR (:task_states & 16) > 0 AND failed > 0
        OR (:task_states & 32) > 0 AND skipped > 0
        OR (:task_states & 64) > 0 AND failed_optional > 0)
    AND (:queues = '' OR EXISTS (
        SELECT 1 FROM task_groups JOIN tasks ON tasks.group_id = task_groups.id
        WHERE task_groups.job_id = jobs_now.id AND :queues LIKE '%,' || tasks.queue || ',%'))
ORDER BY id
LIMIT :count;

-- name: jobs_descending
-- Return the jobs of an interval that match a filter, the latest first. The parameters are those of jobs_ascending.
SELECT * FROM jobs_now
WHERE team_id = :team AND id >= :first AND id <= :last AND submitted_us >= :start_us AND submitted_us < :end_us
    AND (:states = 0 OR (:states & (1 << state)) > 0)
    AND (:name = '' OR lower(name) LIKE lower(:name) ESCAPE '!')
    AND (:automations = '' OR :automations LIKE '%' || automation_hex || '%')
    AND (:task_states = 0
        OR (:task_states & 2) > 0 AND total > computed + failed + failed_optional + skipped + running
        OR (:task_states & 4) > 0 AND running > 0
        OR (:task_states & 8) > 0 AND computed > 0
        OR (:task_states & 16) > 0 AND failed > 0
        OR (:task_states & 32) > 0 AND skipped > 0
        OR (:task_states & 64) > 0 AND failed_optional > 0)
    AND (:queues = '' OR EXISTS (
        SELECT 1 FROM task_groups JOIN tasks ON tasks.group_id = task_groups.id
        WHERE task_groups.job_id = jobs_now.id AND :queues LIKE '%,' || tasks.queue || ',%'))
ORDER BY id DESC
LIMIT :count;

-- name: queues_of_slug
-- Return the queues of all clusters that ever had a slug, deleted ones included.
SELECT queues.number FROM queues JOIN clusters ON clusters.number = queues.cluster
WHERE clusters.team_id = :team AND clusters.slug = :slug;

-- name: job_counts
-- Count the jobs of an interval and their queued tasks, by the state of the jobs.
SELECT state, count(*) AS jobs,
    CAST(sum(total - computed - failed - failed_optional - skipped - running) AS bigint) AS queued
FROM jobs_now
WHERE team_id = :team AND id >= :first AND id <= :last AND submitted_us >= :start_us AND submitted_us < :end_us
GROUP BY state;

-- name: task
-- Return a task by id.
SELECT tasks_now.* FROM tasks_now JOIN jobs ON jobs.id = tasks_now.job_id
WHERE tasks_now.id = :task AND jobs.team_id = :team;

-- name: root_tasks
-- Return root tasks of a job after a given one, in the order of their submission.
SELECT * FROM tasks_now
WHERE job_id = :job AND parent_id IS NULL
    AND (group_id > :after_group OR group_id = :after_group AND position > :after_position)
ORDER BY group_id, position
LIMIT :count;

-- name: tasks_in_state
-- Return tasks of a job that are in a state.
SELECT * FROM tasks_now WHERE job_id = :job AND state = :state ORDER BY group_id, position LIMIT :count;

-- name: queued_tasks
-- Return queued tasks of a job. Only groups with open tasks are read, however many tasks the job has.
SELECT tasks_now.* FROM task_groups JOIN tasks_now ON tasks_now.group_id = task_groups.id
WHERE task_groups.job_id = :job AND task_groups.open_tasks > 0 AND tasks_now.state = 1
ORDER BY task_groups.id, tasks_now.position
LIMIT :count;

-- name: cluster_runners
-- Return runners of a cluster, the most recently seen first.
SELECT identifiers, seen_us,
    EXISTS (SELECT 1 FROM tasks WHERE tasks.state = 2 AND tasks.runner_id = runners.id) AS is_busy
FROM runners
WHERE cluster = :cluster
ORDER BY seen_us DESC
LIMIT :count;

-- name: job_groups
-- Return the first groups of a job, with the task that submitted each.
SELECT task_groups.id, task_groups.parent_id, parents.group_id AS parent_group, queues.name AS parent_name
FROM task_groups
LEFT JOIN tasks AS parents ON parents.id = task_groups.parent_id
LEFT JOIN queues ON queues.number = parents.queue
WHERE task_groups.job_id = :job
ORDER BY task_groups.id
LIMIT :count;

-- name: job_dependencies
-- Return the dependencies of the groups of a job, up to a given group.
SELECT task_group_dependencies.group_id, task_group_dependencies.dependent_id
FROM task_groups JOIN task_group_dependencies ON task_group_dependencies.dependent_id = task_groups.id
WHERE task_groups.job_id = :job AND task_groups.id <= :last;

-- name: group_task_counts
-- Count the tasks of the groups of a job by identifier and state, up to a given group.
SELECT tasks.group_id, queues.name, tasks.state, count(*) AS count
FROM task_groups
JOIN tasks ON tasks.group_id = task_groups.id
JOIN queues ON queues.number = tasks.queue
WHERE task_groups.job_id = :job AND task_groups.id <= :last
GROUP BY tasks.group_id, queues.name, tasks.state
ORDER BY tasks.group_id, queues.name, tasks.state;

-- name: remaining_task_counts
-- Count the tasks of all groups of a job after a given one, by identifier and state.
SELECT queues.name, tasks.state, count(*) AS count
FROM task_groups
JOIN tasks ON tasks.group_id = task_groups.id
JOIN queues ON queues.number = tasks.queue
WHERE task_groups.job_id = :job AND task_groups.id > :last
GROUP BY queues.name, tasks.state
ORDER BY queues.name, tasks.state;

-- name: root_dependencies
-- Return the dependencies of the groups of a job's root tasks.
SELECT task_group_dependencies.group_id, task_group_dependencies.dependent_id
FROM task_groups JOIN task_group_dependencies ON task_group_dependencies.dependent_id = task_groups.id
WHERE task_groups.job_id = :job AND task_groups.parent_id IS NULL;

-- name: task_state
-- Return the state of a task.
SELECT tasks.state FROM tasks JOIN jobs ON jobs.id = tasks.job_id WHERE tasks.id = :task AND jobs.team_id = :team;
