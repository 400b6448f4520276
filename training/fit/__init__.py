"""One fit from top to bottom: read, teach, learn, finish; and the search over settings."""
