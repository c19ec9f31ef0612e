"""The cold start's figures, and how its benchmark sets are made."""
