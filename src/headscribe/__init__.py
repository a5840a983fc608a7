"""Headscribe writes down, as code, what every attention head does, and measures how true it is."""
