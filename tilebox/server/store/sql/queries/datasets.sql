-- name: add_dataset
-- Keep a dataset, unless its id or slug is taken.
INSERT INTO datasets
    (id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us)
VALUES
    (:id, :team, :group, :code_name, :slug, :name, :summary, :description, :icon, :type, :revision, :created_us)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: dataset
-- The dataset of an id.
SELECT id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us
FROM datasets
WHERE team_id = :team AND id = :dataset;

-- name: dataset_by_slug
-- The dataset of a dotted slug.
SELECT id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us
FROM datasets
WHERE team_id = :team AND slug = :slug;

-- name: datasets
-- A team's datasets by slug.
SELECT id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us
FROM datasets
WHERE team_id = :team
ORDER BY slug;

-- name: all_datasets
-- Every team's datasets, the one query on purpose without a team: upkeep serves all of them.
SELECT id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us
FROM datasets
ORDER BY team_id, slug;

-- name: update_dataset
-- Replace what may change of a dataset, if nobody changed it since it was read.
UPDATE datasets
SET name = :name, summary = :summary, description = :description, icon = :icon, type = :type, revision = :revision
WHERE team_id = :team AND id = :id AND revision = :expected_revision
RETURNING id;

-- name: delete_dataset
-- Delete a dataset, its collections with it, and tell its group.
DELETE FROM datasets
WHERE team_id = :team AND id = :dataset
RETURNING group_id;
