-- name: add_team
-- Keep a team, unless its id or slug is taken.
INSERT INTO teams (id, slug, name, created_us)
VALUES (:id, :slug, :name, :created_us)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: teams
-- All teams, the oldest first.
SELECT id, slug, name, created_us
FROM teams
ORDER BY created_us, id;

-- name: team_exists
-- Whether there is such a team.
SELECT id FROM teams WHERE id = :team;

-- name: lock_team
-- Let changes to the groups and datasets of one team happen one after the other, until the transaction ends.
UPDATE teams SET name = name WHERE id = :team RETURNING id;

-- name: ping
-- Nothing, successfully.
SELECT 1 AS one;
