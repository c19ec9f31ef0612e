"""PartialLoadingOnline's benchmark sets."""
