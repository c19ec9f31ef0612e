"""Studies of the agents: which learn what, beside whom."""
