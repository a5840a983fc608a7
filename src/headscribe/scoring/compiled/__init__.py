"""Loops over single numbers, compiled for the processor at hand when first used."""
