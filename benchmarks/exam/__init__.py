"""Models whose heads are known: the material of an exam of what is said about heads."""
