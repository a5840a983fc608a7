"""Loops over single numbers of attention, compiled for the processor at hand when first used."""
