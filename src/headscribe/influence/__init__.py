"""What a head writes, whether it matters, from whom it reads: measured on models that are run."""
