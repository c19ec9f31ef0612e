"""Partial model loading at a wireless edge server (arXiv 2503.22982)."""
