"""Maximal coding rate reduction: what its optimum looks like, with constraint or penalty, and who gets there."""
