-- name: add_key
-- Keep a key, unless its id or digest is taken.
INSERT INTO api_keys (id, team_id, name, role, digest, hint, created_us, expires_us, revoked_us, last_used_us)
VALUES (:id, :team, :name, :role, :digest, :hint, :created_us, :expires_us, :revoked_us, :last_used_us)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: key_by_digest
-- The key of a digest, whoever's it is: this is how a caller's team becomes known.
SELECT id, team_id, name, role, digest, hint, created_us, expires_us, revoked_us, last_used_us
FROM api_keys
WHERE digest = :digest;

-- name: keys
-- A team's keys, the oldest first.
SELECT id, team_id, name, role, digest, hint, created_us, expires_us, revoked_us, last_used_us
FROM api_keys
WHERE team_id = :team
ORDER BY created_us, id;

-- name: revoke_key
-- Revoke a key; one that is revoked keeps its first time.
UPDATE api_keys SET revoked_us = coalesce(revoked_us, :now_us)
WHERE team_id = :team AND id = :key
RETURNING id;

-- name: touch_key
-- Note that a key was used; the time never goes back.
UPDATE api_keys SET last_used_us = :now_us
WHERE id = :key AND (last_used_us IS NULL OR last_used_us < :now_us);
