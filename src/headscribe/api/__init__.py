"""What a user holds: load, corpus, survey, and the objects that they return."""
