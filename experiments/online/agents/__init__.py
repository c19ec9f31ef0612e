"""PartialLoadingOnline's agents beside the planners."""
