"""Planners for co-inference."""
