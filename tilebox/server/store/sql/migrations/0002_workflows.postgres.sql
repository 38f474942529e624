-- Clusters, jobs, tasks and runners.
-- Names sort by code point in every locale of the database, as in SQLite.
-- States are numbered as in `tilebox/server/rules/task_states.py`; the CHECKs here repeat its rules.

CREATE TABLE clusters (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams (id),
    slug text COLLATE "C" NOT NULL CHECK (slug <> ''),
    display_name text NOT NULL,
    description text NOT NULL,
    is_default boolean NOT NULL,
    -- The rank that was claimed last, as recorded from time to time: new jobs enter the queue at it.
    last_rank bigint NOT NULL DEFAULT 0,
    created_us bigint NOT NULL,
    deleted_us bigint
);

CREATE UNIQUE INDEX clusters_by_slug ON clusters (team_id, slug) WHERE deleted_us IS NULL;
CREATE UNIQUE INDEX clusters_by_default ON clusters (team_id) WHERE is_default AND deleted_us IS NULL;

-- One queue for each cluster, task identifier and version.
CREATE TABLE queues (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster bigint NOT NULL REFERENCES clusters (number),
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    major bigint NOT NULL CHECK (major >= 0),
    minor bigint NOT NULL CHECK (minor >= 0),
    UNIQUE (cluster, name, major, minor)
);

CREATE TABLE jobs (
    id bytea PRIMARY KEY CHECK (length(id) = 16),
    team_id uuid NOT NULL REFERENCES teams (id),
    name text NOT NULL CHECK (name <> ''),
    trace_parent text NOT NULL,
    automation_id bytea,
    submitted_us bigint NOT NULL,
    is_canceled boolean NOT NULL DEFAULT false,
    total bigint NOT NULL CHECK (total >= 0),
    computed bigint NOT NULL DEFAULT 0 CHECK (computed >= 0),
    failed bigint NOT NULL DEFAULT 0 CHECK (failed >= 0),
    failed_optional bigint NOT NULL DEFAULT 0 CHECK (failed_optional >= 0),
    skipped bigint NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    -- Open groups of root tasks; the job is completed at zero.
    open_groups bigint NOT NULL CHECK (open_groups >= 0),
    -- The highest rank that a task of this job was given.
    last_rank bigint NOT NULL DEFAULT 0,
    first_started_us bigint,
    last_stopped_us bigint,
    compute_us bigint NOT NULL DEFAULT 0,
    CHECK (computed + failed + failed_optional + skipped <= total)
);

CREATE INDEX jobs_by_team ON jobs (team_id, id);

-- The subtasks of one task that have the same dependencies. Dependencies are stored between groups, not between
-- tasks: a thousand tasks that wait for a thousand others take one row.
CREATE TABLE task_groups (
    id bytea PRIMARY KEY CHECK (length(id) = 16),
    job_id bytea NOT NULL REFERENCES jobs (id),
    -- The task that submitted the group; null for root tasks.
    parent_id bytea,
    size bigint NOT NULL CHECK (size >= 1),
    -- Tasks that are not completed. A task is completed once it and all of its subtasks are computed.
    open_tasks bigint NOT NULL CHECK (open_tasks >= 0 AND open_tasks <= size),
    -- Open groups that this one waits for.
    open_dependencies bigint NOT NULL CHECK (open_dependencies >= 0)
);

CREATE INDEX task_groups_by_job ON task_groups (job_id, id);
CREATE INDEX task_groups_by_parent ON task_groups (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX task_groups_of_roots ON task_groups (job_id, id) WHERE parent_id IS NULL;

CREATE TABLE task_group_dependencies (
    group_id bytea NOT NULL,
    dependent_id bytea NOT NULL,
    PRIMARY KEY (group_id, dependent_id)
);

CREATE INDEX task_group_dependencies_by_dependent ON task_group_dependencies (dependent_id);

CREATE TABLE tasks (
    id bytea PRIMARY KEY CHECK (length(id) = 16),
    job_id bytea NOT NULL,
    group_id bytea NOT NULL,
    -- Position in the group, from 0.
    position bigint NOT NULL,
    queue bigint NOT NULL,
    state smallint NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 6),
    -- Place in the queue; null unless the task is ready.
    rank bigint CHECK (rank IS NULL OR state = 1),
    display text NOT NULL,
    input bytea NOT NULL,
    max_retries bigint NOT NULL CHECK (max_retries >= 0),
    is_optional boolean NOT NULL,
    -- An optional task above it failed while it was running, so the subtasks that it submits are skipped.
    is_abandoned boolean NOT NULL DEFAULT false,
    retries bigint NOT NULL DEFAULT 0,
    crashes bigint NOT NULL DEFAULT 0,
    -- Open groups of its subtasks.
    open_groups bigint NOT NULL DEFAULT 0 CHECK (open_groups >= 0),
    -- How often the task was leased. A fenced report names this number, so that a late one is recognised.
    lease_number bigint NOT NULL DEFAULT 0,
    -- Whether the runner that holds the task names lease numbers.
    is_fenced boolean NOT NULL DEFAULT false,
    leased_until_us bigint CHECK ((leased_until_us IS NULL) = (state <> 2)),
    runner_id bytea,
    claim_id bytea,
    -- End of the pause before the next attempt.
    wake_us bigint CHECK (wake_us IS NULL OR state = 1),
    started_us bigint,
    stopped_us bigint,
    error text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX tasks_by_group ON tasks (group_id, position);
CREATE INDEX tasks_ready ON tasks (queue, rank, id) WHERE rank IS NOT NULL;
CREATE INDEX tasks_running ON tasks (job_id) WHERE state = 2;
CREATE INDEX tasks_asleep ON tasks (wake_us) WHERE wake_us IS NOT NULL;

-- Failed attempts. The successful one is recorded in the task itself.
CREATE TABLE task_attempts (
    task_id bytea NOT NULL,
    lease_number bigint NOT NULL,
    job_id bytea NOT NULL,
    runner_id bytea,
    started_us bigint,
    stopped_us bigint NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('failed', 'crashed', 'expired')),
    error text NOT NULL,
    PRIMARY KEY (task_id, lease_number)
);

CREATE TABLE task_progress (
    job_id bytea NOT NULL,
    label text COLLATE "C" NOT NULL,
    task_id bytea NOT NULL,
    total bigint NOT NULL CHECK (total >= 0),
    done bigint NOT NULL CHECK (done >= 0),
    PRIMARY KEY (job_id, label, task_id)
);

-- Runners that asked for tasks recently.
CREATE TABLE runners (
    id bytea NOT NULL,
    cluster bigint NOT NULL,
    identifiers text NOT NULL,
    seen_us bigint NOT NULL,
    PRIMARY KEY (cluster, id)
);

-- Jobs for queries: with figures of their running tasks, and their states by the rules of `task_states.py`.
CREATE VIEW jobs_now AS
SELECT jobs.*, encode(automation_id, 'hex') AS automation_hex,
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
