"""The whole flow on one machine, with an embedded broker and Postgres."""
