"""What the figures of claims show, one module per theme: theory, and what srr computes at the same numbers."""
