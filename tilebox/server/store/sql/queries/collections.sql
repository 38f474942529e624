-- name: allocate_collection_number
-- Allocate a dataset's next collection number. The row stays locked until the transaction ends, so numbers are given
-- out one at a time.
UPDATE datasets SET next_collection = next_collection + 1
WHERE team_id = :team AND id = :dataset
RETURNING next_collection - 1 AS number;

-- name: add_collection
-- Create a collection, unless its id or name is taken.
INSERT INTO collections (id, team_id, dataset_id, name, number, created_us)
VALUES (:id, :team, :dataset, :name, :number, :created_us)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: collection
-- Return a collection by id.
SELECT id, team_id, dataset_id, name, number, created_us
FROM collections
WHERE team_id = :team AND id = :collection;

-- name: collection_by_name
-- Return a collection by name.
SELECT id, team_id, dataset_id, name, number, created_us
FROM collections
WHERE team_id = :team AND dataset_id = :dataset AND name = :name;

-- name: collections
-- Return a dataset's collections by name.
SELECT id, team_id, dataset_id, name, number, created_us
FROM collections
WHERE team_id = :team AND dataset_id = :dataset
ORDER BY name;

-- name: delete_collection
-- Delete a collection. Its number is never used again.
DELETE FROM collections
WHERE team_id = :team AND id = :collection
RETURNING id;
