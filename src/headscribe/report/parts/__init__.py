"""The parts of a page, each made from the runs of one kind."""
