"""Postgres: results and offsets in one transaction, shadow scores, migrations."""
