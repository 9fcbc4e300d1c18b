"""ReduNet: its operators, ascent on the sphere with true and with estimated labels, and the shift-invariant form."""
