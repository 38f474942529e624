-- Teams, keys, groups, datasets and collections.
-- Foreign keys include the team, so that no row can refer to a row of another team.
-- Names sort by code point in every locale of the database, as in SQLite.

CREATE TABLE teams (
    id uuid PRIMARY KEY,
    slug text COLLATE "C" NOT NULL UNIQUE CHECK (slug <> ''),
    name text NOT NULL,
    created_us bigint NOT NULL
);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams (id),
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('read', 'submit', 'run', 'admin')),
    digest bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    hint text NOT NULL,
    created_us bigint NOT NULL,
    expires_us bigint,
    revoked_us bigint,
    last_used_us bigint
);

CREATE INDEX api_keys_by_team ON api_keys (team_id, created_us);

CREATE TABLE dataset_groups (
    id uuid PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams (id),
    parent_id uuid,
    code_name text NOT NULL CHECK (code_name <> ''),
    name text NOT NULL,
    slug text COLLATE "C" NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (team_id, slug),
    FOREIGN KEY (team_id, parent_id) REFERENCES dataset_groups (team_id, id),
    CHECK ((parent_id IS NULL) = (slug = code_name))
);

CREATE INDEX dataset_groups_by_parent ON dataset_groups (team_id, parent_id);

CREATE TABLE datasets (
    id uuid PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams (id),
    group_id uuid NOT NULL,
    code_name text NOT NULL CHECK (code_name <> ''),
    slug text COLLATE "C" NOT NULL CHECK (slug <> ''),
    name text NOT NULL,
    summary text NOT NULL,
    description text NOT NULL,
    icon text NOT NULL,
    type bytea NOT NULL,
    revision integer NOT NULL CHECK (revision >= 1),
    created_us bigint NOT NULL,
    next_collection integer NOT NULL DEFAULT 1 CHECK (next_collection >= 1),
    UNIQUE (team_id, id),
    UNIQUE (team_id, slug),
    FOREIGN KEY (team_id, group_id) REFERENCES dataset_groups (team_id, id)
);

CREATE INDEX datasets_by_group ON datasets (team_id, group_id);

CREATE TABLE collections (
    id uuid PRIMARY KEY,
    team_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    number integer NOT NULL CHECK (number >= 1),
    created_us bigint NOT NULL,
    UNIQUE (team_id, dataset_id, name),
    UNIQUE (dataset_id, number),
    FOREIGN KEY (team_id, dataset_id) REFERENCES datasets (team_id, id) ON DELETE CASCADE
);
