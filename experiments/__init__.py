"""The evaluation of the PartialLoading paper, from one command: ``python -m experiments reproduce``."""
