"""The cold start's agent: the table of what it attains."""
