"""Planners for streams of prompts over warm devices."""
