"""Slide's evaluation, and how its benchmark sets are made."""
