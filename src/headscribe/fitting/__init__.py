"""Readable programs fitted to heads: formulas, the profile, mixtures, and their statistics."""
