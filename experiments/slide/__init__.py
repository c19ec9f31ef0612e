"""Slide: how its benchmark sets are made."""
