"""Scoring heads against patterns: plans, kernels, accumulators, statistics, the engine."""
