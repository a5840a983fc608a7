"""Words that every layer shares: heads, rows, visibility, metrics, errors. NumPy only."""
