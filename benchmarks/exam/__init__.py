"""Scripts of the exam: the material that they make, and its page."""
