"""Co-inference's agents: the table of what they attain."""
