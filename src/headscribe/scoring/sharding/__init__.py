"""A survey in shards that several processes or machines compute."""
