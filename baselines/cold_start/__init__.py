"""Planners for the cold start."""
