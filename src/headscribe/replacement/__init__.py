"""Proof by replacement: programs in the place of heads, and what that does to the model."""
