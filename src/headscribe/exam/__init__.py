"""The exam: heads whose truth is known, and what is said of them."""
