-- name: job_progress
-- What the tasks of a job said of their progress, added up. For each job.
SELECT job_id, label,
    sum(total >> 31) AS total_high, sum(total & 2147483647) AS total_low,
    sum(done >> 31) AS done_high, sum(done & 2147483647) AS done_low
FROM task_progress
WHERE job_id = :job
GROUP BY job_id, label
ORDER BY label;

-- name: child_tasks
-- Tasks that a task submitted, behind one of them, in the order in which they were submitted. For each task.
SELECT * FROM tasks_now
WHERE parent_id = :parent
    AND (group_id > :after_group OR group_id = :after_group AND position > :after_position)
ORDER BY group_id, position
LIMIT :count;

-- name: tasks_of_group
-- All tasks of a group. For each group.
SELECT * FROM tasks_now WHERE group_id = :group ORDER BY position;

-- name: waited_for
-- Tasks that are not completed in the groups that a group waits for, at most so many. For each group.
SELECT task_group_dependencies.dependent_id, tasks.id, tasks.display, tasks.state
FROM task_group_dependencies
JOIN task_groups ON task_groups.id = task_group_dependencies.group_id
JOIN tasks ON tasks.group_id = task_groups.id
WHERE task_group_dependencies.dependent_id = :group AND task_groups.open_tasks > 0
    AND (tasks.state IN (1, 2, 4) OR tasks.state = 3 AND tasks.open_groups > 0)
ORDER BY task_groups.id, tasks.position
LIMIT :count;

-- name: wait_counts
-- How many tasks a group waits for. For each group.
SELECT task_group_dependencies.dependent_id, sum(task_groups.open_tasks) AS count
FROM task_group_dependencies JOIN task_groups ON task_groups.id = task_group_dependencies.group_id
WHERE task_group_dependencies.dependent_id = :group
GROUP BY task_group_dependencies.dependent_id;
