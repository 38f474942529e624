-- name: add_dataset
-- Create a dataset, unless its id or slug is taken.
INSERT INTO datasets
    (id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us)
VALUES
    (:id, :team, :group, :code_name, :slug, :name, :summary, :description, :icon, :type, :revision, :created_us)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: dataset
-- Return a dataset by id.
SELECT id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us
FROM datasets
WHERE team_id = :team AND id = :dataset;

-- name: dataset_by_slug
-- Return a dataset by its dotted slug.
SELECT id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us
FROM datasets
WHERE team_id = :team AND slug = :slug;

-- name: datasets
-- Return a team's datasets by slug.
SELECT id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us
FROM datasets
WHERE team_id = :team
ORDER BY slug;

-- name: all_datasets
-- Return every team's datasets. It takes no team on purpose: upkeep serves all of them.
SELECT id, team_id, group_id, code_name, slug, name, summary, description, icon, type, revision, created_us
FROM datasets
ORDER BY team_id, slug;

-- name: update_dataset
-- Replace the parts of a dataset that may change, if its revision is still the expected one.
UPDATE datasets
SET name = :name, summary = :summary, description = :description, icon = :icon, type = :type, revision = :revision
WHERE team_id = :team AND id = :id AND revision = :expected_revision
RETURNING id;

-- name: delete_dataset
-- Delete a dataset with its collections, and return its group.
DELETE FROM datasets
WHERE team_id = :team AND id = :dataset
RETURNING group_id;
