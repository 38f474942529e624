-- name: take_collection_number
-- Take a dataset's next collection number; the row stays locked until the transaction ends.
UPDATE datasets SET next_collection = next_collection + 1
WHERE team_id = :team AND id = :dataset
RETURNING next_collection - 1 AS number;

-- name: add_collection
-- Keep a collection, unless its id or name is taken.
INSERT INTO collections (id, team_id, dataset_id, name, number, created_us)
VALUES (:id, :team, :dataset, :name, :number, :created_us)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: collection
-- The collection of an id.
SELECT id, team_id, dataset_id, name, number, created_us
FROM collections
WHERE team_id = :team AND id = :collection;

-- name: collection_by_name
-- The collection of a name.
SELECT id, team_id, dataset_id, name, number, created_us
FROM collections
WHERE team_id = :team AND dataset_id = :dataset AND name = :name;

-- name: collections
-- A dataset's collections by name.
SELECT id, team_id, dataset_id, name, number, created_us
FROM collections
WHERE team_id = :team AND dataset_id = :dataset
ORDER BY name;

-- name: delete_collection
-- Delete a collection; its number stays used.
DELETE FROM collections
WHERE team_id = :team AND id = :collection
RETURNING id;
