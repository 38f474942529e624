-- name: add_group
-- Keep a group of a team.
INSERT INTO dataset_groups (id, team_id, parent_id, code_name, name, slug)
VALUES (:id, :team, :parent, :code_name, :name, :slug);

-- name: group
-- The group of an id.
SELECT id, team_id, parent_id, code_name, name, slug
FROM dataset_groups
WHERE team_id = :team AND id = :group;

-- name: group_by_slug
-- The group of a dotted path.
SELECT id, team_id, parent_id, code_name, name, slug
FROM dataset_groups
WHERE team_id = :team AND slug = :slug;

-- name: groups
-- A team's groups; a parent's slug is the start of its children's, so parents come first.
SELECT id, team_id, parent_id, code_name, name, slug
FROM dataset_groups
WHERE team_id = :team
ORDER BY slug;

-- name: delete_group_if_empty
-- Delete a group that holds neither datasets nor groups, and tell its parent.
DELETE FROM dataset_groups
WHERE team_id = :team AND id = :group
  AND NOT EXISTS (SELECT 1 FROM datasets WHERE team_id = :team AND group_id = :group)
  AND NOT EXISTS (SELECT 1 FROM dataset_groups AS child WHERE child.team_id = :team AND child.parent_id = :group)
RETURNING parent_id;
