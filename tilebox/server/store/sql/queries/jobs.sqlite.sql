-- name: job_progress
-- Add up the progress of the tasks of a job by label, upper and lower bits apart, because the sum may exceed 64 bits.
-- Called for each job.
SELECT job_id, label,
    sum(total >> 31) AS total_high, sum(total & 2147483647) AS total_low,
    sum(done >> 31) AS done_high, sum(done & 2147483647) AS done_low
FROM task_progress
WHERE job_id = :job
GROUP BY job_id, label
ORDER BY label;

-- name: child_tasks
-- Return the subtasks of a task after a given one, in the order of their submission. Called for each parent.
SELECT * FROM tasks_now
WHERE parent_id = :parent
    AND (group_id > :after_group OR group_id = :after_group AND position > :after_position)
ORDER BY group_id, position
LIMIT :count;

-- name: tasks_of_group
-- Return all tasks of a group. Called for each group.
SELECT * FROM tasks_now WHERE group_id = :group ORDER BY position;

-- name: blocking_tasks
-- Return the first open tasks of the groups that a group waits for. Called for each group.
SELECT task_group_dependencies.dependent_id, tasks.id, tasks.display, tasks.state
FROM task_group_dependencies
JOIN task_groups ON task_groups.id = task_group_dependencies.group_id
JOIN tasks ON tasks.group_id = task_groups.id
WHERE task_group_dependencies.dependent_id = :group AND task_groups.open_tasks > 0
    AND (tasks.state IN (1, 2, 4) OR tasks.state = 3 AND tasks.open_groups > 0)
ORDER BY task_groups.id, tasks.position
LIMIT :count;

-- name: blocking_counts
-- Count the open tasks that a group waits for. Called for each group.
SELECT task_group_dependencies.dependent_id, sum(task_groups.open_tasks) AS count
FROM task_group_dependencies JOIN task_groups ON task_groups.id = task_group_dependencies.group_id
WHERE task_group_dependencies.dependent_id = :group
GROUP BY task_group_dependencies.dependent_id;
