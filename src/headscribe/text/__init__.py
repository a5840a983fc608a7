"""Corpora and splits, passages, alignment, annotators."""
