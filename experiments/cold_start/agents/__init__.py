"""Studies of the agents."""
