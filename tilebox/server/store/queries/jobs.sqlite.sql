-- name: job_progress
-- What the tasks of a job said of their progress, added up. For each job.
SELECT job_id, label,
    sum(total >> 31) AS total_high, sum(total & 2147483647) AS total_low,
    sum(done >> 31) AS done_high, sum(done & 2147483647) AS done_low
FROM task_progress
WHERE job_id = :job
GROUP BY job_id, label
ORDER BY label;
