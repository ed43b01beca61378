from shared.db.migrations import metadata_of, run_migrations

run_migrations(metadata_of("services.worker"))
