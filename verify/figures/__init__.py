"""What the figures of claims show, one module per theme: theory written out, and what srr computes beside it."""
