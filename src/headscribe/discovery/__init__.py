"""Discovery: evidence of what a head does, proposals for a program, their test on unseen text."""
