"""Planners for SLIDE."""
