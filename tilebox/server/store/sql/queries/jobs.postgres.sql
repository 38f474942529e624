-- name: job_progress
-- Add up the progress of the tasks of jobs by label, upper and lower bits apart, because the sum may exceed 64 bits.
SELECT job_id, label,
    sum(total >> 31)::bigint AS total_high, sum(total & 2147483647)::bigint AS total_low,
    sum(done >> 31)::bigint AS done_high, sum(done & 2147483647)::bigint AS done_low
FROM task_progress
WHERE job_id = ANY(:job)
GROUP BY job_id, label
ORDER BY label;

-- name: child_tasks
-- Return the subtasks of tasks, each after a given one, in the order of their submission.
SELECT children.*
FROM unnest(:parent::bytea[], :after_group::bytea[], :after_position::bigint[], :count::bigint[])
    AS given (parent, after_group, after_position, count)
CROSS JOIN LATERAL (
    SELECT * FROM tasks_now
    WHERE parent_id = given.parent
        AND (group_id > given.after_group OR group_id = given.after_group AND position > given.after_position)
    ORDER BY group_id, position
    LIMIT given.count
) AS children
ORDER BY children.parent_id, children.group_id, children.position;

-- name: tasks_of_group
-- Return all tasks of groups.
SELECT * FROM tasks_now WHERE group_id = ANY(:group) ORDER BY group_id, position;

-- name: blocking_tasks
-- Return the first open tasks of the groups that other groups wait for.
SELECT blocking.*
FROM unnest(:group::bytea[], :count::bigint[]) AS given (id, count)
CROSS JOIN LATERAL (
    SELECT task_group_dependencies.dependent_id, tasks.id, tasks.display, tasks.state
    FROM task_group_dependencies
    JOIN task_groups ON task_groups.id = task_group_dependencies.group_id
    JOIN tasks ON tasks.group_id = task_groups.id
    WHERE task_group_dependencies.dependent_id = given.id AND task_groups.open_tasks > 0
        AND (tasks.state IN (1, 2, 4) OR tasks.state = 3 AND tasks.open_groups > 0)
    ORDER BY task_groups.id, tasks.position
    LIMIT given.count
) AS blocking;

-- name: blocking_counts
-- Count the open tasks that groups wait for.
SELECT task_group_dependencies.dependent_id, sum(task_groups.open_tasks)::bigint AS count
FROM task_group_dependencies JOIN task_groups ON task_groups.id = task_group_dependencies.group_id
WHERE task_group_dependencies.dependent_id = ANY(:group)
GROUP BY task_group_dependencies.dependent_id;
