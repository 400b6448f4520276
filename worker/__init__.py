"""Reads transcripts from Kafka, classifies their emotions and writes them to Postgres, each one once."""
