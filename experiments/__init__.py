"""The evaluation of the papers, from one command: ``python -m experiments reproduce``."""
