-- Teams, keys, groups, datasets and collections.
-- Foreign keys include the team, so that no row can refer to a row of another team.
-- The tables are STRICT: SQLite refuses values of the wrong type, as PostgreSQL does.

CREATE TABLE teams (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    slug TEXT NOT NULL UNIQUE CHECK (slug <> ''),
    name TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    team_id BLOB NOT NULL REFERENCES teams (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('read', 'submit', 'run', 'admin')),
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    hint TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER,
    revoked_us INTEGER,
    last_used_us INTEGER
) STRICT;

CREATE INDEX api_keys_by_team ON api_keys (team_id, created_us);

CREATE TABLE dataset_groups (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    team_id BLOB NOT NULL REFERENCES teams (id),
    parent_id BLOB,
    code_name TEXT NOT NULL CHECK (code_name <> ''),
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (team_id, slug),
    FOREIGN KEY (team_id, parent_id) REFERENCES dataset_groups (team_id, id),
    CHECK ((parent_id IS NULL) = (slug = code_name))
) STRICT;

CREATE INDEX dataset_groups_by_parent ON dataset_groups (team_id, parent_id);

CREATE TABLE datasets (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    team_id BLOB NOT NULL REFERENCES teams (id),
    group_id BLOB NOT NULL,
    code_name TEXT NOT NULL CHECK (code_name <> ''),
    slug TEXT NOT NULL CHECK (slug <> ''),
    name TEXT NOT NULL,
    summary TEXT NOT NULL,
    description TEXT NOT NULL,
    icon TEXT NOT NULL,
    type BLOB NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    created_us INTEGER NOT NULL,
    next_collection INTEGER NOT NULL DEFAULT 1 CHECK (next_collection >= 1),
    UNIQUE (team_id, id),
    UNIQUE (team_id, slug),
    FOREIGN KEY (team_id, group_id) REFERENCES dataset_groups (team_id, id)
) STRICT;

CREATE INDEX datasets_by_group ON datasets (team_id, group_id);

CREATE TABLE collections (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    team_id BLOB NOT NULL,
    dataset_id BLOB NOT NULL,
    name TEXT NOT NULL CHECK (name <> ''),
    number INTEGER NOT NULL CHECK (number >= 1),
    created_us INTEGER NOT NULL,
    UNIQUE (team_id, dataset_id, name),
    UNIQUE (dataset_id, number),
    FOREIGN KEY (team_id, dataset_id) REFERENCES datasets (team_id, id) ON DELETE CASCADE
) STRICT;
