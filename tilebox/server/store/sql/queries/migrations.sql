-- name: create_migrations
-- The list of what was done to this database.
CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_us bigint NOT NULL
);

-- name: migrations
-- The migrations that were applied, in order.
SELECT number, name FROM schema_migrations ORDER BY number;

-- name: add_migration
-- Note a migration, in the transaction that applies it.
INSERT INTO schema_migrations (number, name, applied_us) VALUES (:number, :name, :applied_us);
