"""Patterns: what attention to predict from a passage; their catalogue and their registry."""
