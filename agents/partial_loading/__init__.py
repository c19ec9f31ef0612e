"""Learning to schedule PartialLoading."""
