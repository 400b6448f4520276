"""The report: stored or classified transcripts as a page that an analyst can read."""
