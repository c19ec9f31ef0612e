"""Planners of PartialLoading."""
