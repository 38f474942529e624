-- name: create_migrations
-- Create the table that lists the applied migrations.
CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_us bigint NOT NULL
);

-- name: migrations
-- Return the applied migrations, in order.
SELECT number, name FROM schema_migrations ORDER BY number;

-- name: add_migration
-- Record a migration, in the transaction that applies it.
INSERT INTO schema_migrations (number, name, applied_us) VALUES (:number, :name, :applied_us);
