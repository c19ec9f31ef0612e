"""A small network that plays in one compiled loop: microseconds a decision, thousands of episodes a second."""
