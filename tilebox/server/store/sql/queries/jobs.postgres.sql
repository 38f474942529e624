-- name: job_progress
-- What the tasks of jobs said of their progress, added up.
SELECT job_id, label,
    sum(total >> 31)::bigint AS total_high, sum(total & 2147483647)::bigint AS total_low,
    sum(done >> 31)::bigint AS done_high, sum(done & 2147483647)::bigint AS done_low
FROM task_progress
WHERE job_id = ANY(:job)
GROUP BY job_id, label
ORDER BY label;

-- name: child_tasks
-- Tasks that some tasks submitted, each behind one of them, in the order in which they were submitted.
SELECT found.*
FROM unnest(:parent::bytea[], :after_group::bytea[], :after_position::bigint[], :count::bigint[])
    AS given (parent, after_group, after_position, count)
CROSS JOIN LATERAL (
    SELECT * FROM tasks_now
    WHERE parent_id = given.parent
        AND (group_id > given.after_group OR group_id = given.after_group AND position > given.after_position)
    ORDER BY group_id, position
    LIMIT given.count
) AS found
ORDER BY found.parent_id, found.group_id, found.position;

-- name: tasks_of_group
-- All tasks of some groups.
SELECT * FROM tasks_now WHERE group_id = ANY(:group) ORDER BY group_id, position;

-- name: waited_for
-- Tasks that are not completed in the groups that some groups wait for, at most so many for each.
SELECT found.*
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
) AS found;

-- name: wait_counts
-- How many tasks some groups wait for.
SELECT task_group_dependencies.dependent_id, sum(task_groups.open_tasks)::bigint AS count
FROM task_group_dependencies JOIN task_groups ON task_groups.id = task_group_dependencies.group_id
WHERE task_group_dependencies.dependent_id = ANY(:group)
GROUP BY task_group_dependencies.dependent_id;
