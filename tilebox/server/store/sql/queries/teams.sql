-- name: add_team
-- Create a team, unless its id or slug is taken.
INSERT INTO teams (id, slug, name, created_us)
VALUES (:id, :slug, :name, :created_us)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: teams
-- Return all teams, the oldest first.
SELECT id, slug, name, created_us
FROM teams
ORDER BY created_us, id;

-- name: team_exists
-- Return a team if it exists.
SELECT id FROM teams WHERE id = :team;

-- name: lock_team
-- Lock a team until the transaction ends, so that changes of its groups and datasets happen one after the other. It is
-- an update that changes nothing, because SQLite has no SELECT FOR UPDATE.
UPDATE teams SET name = name WHERE id = :team RETURNING id;

-- name: ping
-- Do nothing, successfully.
SELECT 1 AS one;
