-- name: job_progress
-- What the tasks of jobs said of their progress, added up.
SELECT job_id, label,
    sum(total >> 31)::bigint AS total_high, sum(total & 2147483647)::bigint AS total_low,
    sum(done >> 31)::bigint AS done_high, sum(done & 2147483647)::bigint AS done_low
FROM task_progress
WHERE job_id = ANY(:job)
GROUP BY job_id, label
ORDER BY label;
