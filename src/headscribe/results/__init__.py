"""The run directory: what a survey leaves behind, and how it is asked."""
