"""Experiments that take minutes; each is run by ``python -m verify.experiments.NAME``."""
