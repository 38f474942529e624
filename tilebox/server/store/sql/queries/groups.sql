-- name: add_group
-- Create a group of datasets.
INSERT INTO dataset_groups (id, team_id, parent_id, code_name, name, slug)
VALUES (:id, :team, :parent, :code_name, :name, :slug);

-- name: group
-- Return a group by id.
SELECT id, team_id, parent_id, code_name, name, slug
FROM dataset_groups
WHERE team_id = :team AND id = :group;

-- name: group_by_slug
-- Return a group by its dotted path.
SELECT id, team_id, parent_id, code_name, name, slug
FROM dataset_groups
WHERE team_id = :team AND slug = :slug;

-- name: groups
-- Return a team's groups, parents first: the slug of a parent is a prefix of its children's slugs.
SELECT id, team_id, parent_id, code_name, name, slug
FROM dataset_groups
WHERE team_id = :team
ORDER BY slug;

-- name: delete_group_if_empty
-- Delete a group that holds neither datasets nor groups, and return its parent.
DELETE FROM dataset_groups
WHERE team_id = :team AND id = :group
  AND NOT EXISTS (SELECT 1 FROM datasets WHERE team_id = :team AND group_id = :group)
  AND NOT EXISTS (SELECT 1 FROM dataset_groups AS child WHERE child.team_id = :team AND child.parent_id = :group)
RETURNING parent_id;
