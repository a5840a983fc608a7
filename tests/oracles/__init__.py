"""Slow and obvious float64 versions of everything fast, to hold the fast ones against."""
