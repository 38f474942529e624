-- name: add_key
-- Store a key, unless its id or digest is taken.
INSERT INTO api_keys (id, team_id, name, role, digest, hint, created_us, expires_us, revoked_us, last_used_us)
VALUES (:id, :team, :name, :role, :digest, :hint, :created_us, :expires_us, :revoked_us, :last_used_us)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: key_by_digest
-- Return a key by digest. It takes no team, because the key is what tells the caller's team.
SELECT id, team_id, name, role, digest, hint, created_us, expires_us, revoked_us, last_used_us
FROM api_keys
WHERE digest = :digest;

-- name: keys
-- Return a team's keys, the oldest first.
SELECT id, team_id, name, role, digest, hint, created_us, expires_us, revoked_us, last_used_us
FROM api_keys
WHERE team_id = :team
ORDER BY created_us, id;

-- name: revoke_key
-- Revoke a key. One that is revoked already keeps its first time.
UPDATE api_keys SET revoked_us = coalesce(revoked_us, :now_us)
WHERE team_id = :team AND id = :key
RETURNING id;

-- name: touch_key
-- Record that a key was used. The time never goes back.
UPDATE api_keys SET last_used_us = :now_us
WHERE id = :key AND (last_used_us IS NULL OR last_used_us < :now_us);
