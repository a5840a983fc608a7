"""What heads do, in words: behaviours, their shares beyond what position explains, and budgets."""
