"""PartialLoadingOnline's policies, planners and bounds; ``solvers.py`` lists them."""
