"""The figures of PartialLoading (arXiv 2503.22982)."""
