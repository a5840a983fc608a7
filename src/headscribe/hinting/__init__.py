"""Hints: which heads change what they read when a hint changes the answer of a model."""
