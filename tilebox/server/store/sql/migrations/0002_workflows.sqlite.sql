-- Clusters, jobs, tasks and runners.
-- The tables are STRICT: SQLite refuses values of the wrong type, as PostgreSQL does.
-- States are numbered as in `tilebox/server/rules/task_states.py`; the CHECKs here repeat its rules.

CREATE TABLE clusters (
    number INTEGER PRIMARY KEY,
    team_id BLOB NOT NULL REFERENCES teams (id),
    slug TEXT NOT NULL CHECK (slug <> ''),
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    -- The rank that was claimed last, as recorded from time to time: new jobs enter the queue at it.
    last_rank INTEGER NOT NULL DEFAULT 0,
    created_us INTEGER NOT NULL,
    deleted_us INTEGER
) STRICT;

CREATE UNIQUE INDEX clusters_by_slug ON clusters (team_id, slug) WHERE deleted_us IS NULL;
CREATE UNIQUE INDEX clusters_by_default ON clusters (team_id) WHERE is_default AND deleted_us IS NULL;

-- One queue for each cluster, task identifier and version.
CREATE TABLE queues (
    number INTEGER PRIMARY KEY,
    cluster INTEGER NOT NULL REFERENCES clusters (number),
    name TEXT NOT NULL CHECK (name <> ''),
    major INTEGER NOT NULL CHECK (major >= 0),
    minor INTEGER NOT NULL CHECK (minor >= 0),
    UNIQUE (cluster, name, major, minor)
) STRICT;

CREATE TABLE jobs (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    team_id BLOB NOT NULL REFERENCES teams (id),
    name TEXT NOT NULL CHECK (name <> ''),
    trace_parent TEXT NOT NULL,
    automation_id BLOB,
    submitted_us INTEGER NOT NULL,
    is_canceled INTEGER NOT NULL DEFAULT 0 CHECK (is_canceled IN (0, 1)),
    total INTEGER NOT NULL CHECK (total >= 0),
    computed INTEGER NOT NULL DEFAULT 0 CHECK (computed >= 0),
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    failed_optional INTEGER NOT NULL DEFAULT 0 CHECK (failed_optional >= 0),
    skipped INTEGER NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    -- Open groups of root tasks; the job is completed at zero.
    open_groups INTEGER NOT NULL CHECK (open_groups >= 0),
    -- The highest rank that a task of this job was given.
    last_rank INTEGER NOT NULL DEFAULT 0,
    first_started_us INTEGER,
    last_stopped_us INTEGER,
    compute_us INTEGER NOT NULL DEFAULT 0,
    CHECK (computed + failed + failed_optional + skipped <= total)
) STRICT;

CREATE INDEX jobs_by_team ON jobs (team_id, id);

-- The subtasks of one task that have the same dependencies. Dependencies are stored between groups, not between
-- tasks: a thousand tasks that wait for a thousand others take one row.
CREATE TABLE task_groups (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    job_id BLOB NOT NULL REFERENCES jobs (id),
    -- The task that submitted the group; null for root tasks.
    parent_id BLOB,
    size INTEGER NOT NULL CHECK (size >= 1),
    -- Tasks that are not completed. A task is completed once it and all of its subtasks are computed.
    open_tasks INTEGER NOT NULL CHECK (open_tasks >= 0 AND open_tasks <= size),
    -- Open groups that this one waits for.
    open_dependencies INTEGER NOT NULL CHECK (open_dependencies >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX task_groups_by_job ON task_groups (job_id, id);
CREATE INDEX task_groups_by_parent ON task_groups (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX task_groups_of_roots ON task_groups (job_id, id) WHERE parent_id IS NULL;

CREATE TABLE task_group_dependencies (
    group_id BLOB NOT NULL,
    dependent_id BLOB NOT NULL,
    PRIMARY KEY (group_id, dependent_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX task_group_dependencies_by_dependent ON task_group_dependencies (dependent_id);

CREATE TABLE tasks (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    job_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    -- Position in the group, from 0.
    position INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 6),
    -- Place in the queue; null unless the task is ready.
    rank INTEGER CHECK (rank IS NULL OR state = 1),
    display TEXT NOT NULL,
    input BLOB NOT NULL,
    max_retries INTEGER NOT NULL CHECK (max_retries >= 0),
    is_optional INTEGER NOT NULL CHECK (is_optional IN (0, 1)),
    -- An optional task above it failed while it was running, so the subtasks that it submits are skipped.
    is_abandoned INTEGER NOT NULL DEFAULT 0 CHECK (is_abandoned IN (0, 1)),
    retries INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    -- Open groups of its subtasks.
    open_groups INTEGER NOT NULL DEFAULT 0 CHECK (open_groups >= 0),
    -- How often the task was leased. A fenced report names this number, so that a late one is recognised.
    lease_number INTEGER NOT NULL DEFAULT 0,
    -- Whether the runner that holds the task names lease numbers.
    is_fenced INTEGER NOT NULL DEFAULT 0 CHECK (is_fenced IN (0, 1)),
    leased_until_us INTEGER CHECK ((leased_until_us IS NULL) = (state <> 2)),
    runner_id BLOB,
    claim_id BLOB,
    -- End of the pause before the next attempt.
    wake_us INTEGER CHECK (wake_us IS NULL OR state = 1),
    started_us INTEGER,
    stopped_us INTEGER,
    error TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX tasks_by_group ON tasks (group_id, position);
CREATE INDEX tasks_ready ON tasks (queue, rank, id) WHERE rank IS NOT NULL;
CREATE INDEX tasks_running ON tasks (job_id) WHERE state = 2;
CREATE INDEX tasks_asleep ON tasks (wake_us) WHERE wake_us IS NOT NULL;

-- Failed attempts. The successful one is recorded in the task itself.
CREATE TABLE task_attempts (
    task_id BLOB NOT NULL,
    lease_number INTEGER NOT NULL,
    job_id BLOB NOT NULL,
    runner_id BLOB,
    started_us INTEGER,
    stopped_us INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('failed', 'crashed', 'expired')),
    error TEXT NOT NULL,
    PRIMARY KEY (task_id, lease_number)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_progress (
    job_id BLOB NOT NULL,
    label TEXT NOT NULL,
    task_id BLOB NOT NULL,
    total INTEGER NOT NULL CHECK (total >= 0),
    done INTEGER NOT NULL CHECK (done >= 0),
    PRIMARY KEY (job_id, label, task_id)
) STRICT, WITHOUT ROWID;

-- Runners that asked for tasks recently.
CREATE TABLE runners (
    id BLOB NOT NULL,
    cluster INTEGER NOT NULL,
    identifiers TEXT NOT NULL,
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (cluster, id)
) STRICT, WITHOUT ROWID;

-- Jobs for queries: with figures of their running tasks, and their states by the rules of `task_states.py`.
CREATE VIEW jobs_now AS
SELECT jobs.*, nullif(lower(hex(automation_id)), '') AS automation_hex,
    (SELECT count(*) FROM tasks WHERE tasks.job_id = jobs.id AND tasks.state = 2) AS running,
    (SELECT min(tasks.started_us) FROM tasks WHERE tasks.job_id = jobs.id AND tasks.state = 2) AS running_since_us,
    CASE
        WHEN failed > 0 THEN 5
        WHEN open_groups = 0 THEN 4
        WHEN is_canceled THEN 6
        WHEN EXISTS (SELECT 1 FROM tasks WHERE tasks.job_id = jobs.id AND tasks.state = 2) THEN 2
        WHEN first_started_us IS NOT NULL OR computed + failed_optional + skipped > 0 THEN 3
        ELSE 1
    END AS state
FROM jobs;

-- Tasks for queries: with their identifiers, clusters and parents.
CREATE VIEW tasks_now AS
SELECT tasks.id, tasks.job_id, tasks.group_id, tasks.position, task_groups.parent_id, task_groups.open_dependencies,
    tasks.state, tasks.rank, tasks.wake_us, tasks.display, tasks.input, tasks.max_retries, tasks.retries,
    tasks.is_optional, tasks.open_groups, tasks.started_us, tasks.stopped_us, tasks.error,
    queues.name, queues.major, queues.minor, queues.cluster, clusters.slug AS cluster_slug,
    EXISTS (SELECT 1 FROM task_groups AS below WHERE below.parent_id = tasks.id) AS has_children
FROM task_groups
JOIN tasks ON tasks.group_id = task_groups.id
JOIN queues ON queues.number = tasks.queue
JOIN clusters ON clusters.number = queues.cluster;
