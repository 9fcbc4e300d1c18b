"""What the layers of a trained network do to the terms of the sparse rate reduction, beside null controls.

network      a torch module, and the parts of its layers by a layout; its untrained twin
run          `audit`: from a network and data to an `Audit`
half         one half of one layer on a batch: every term before and after, controls, counterfactuals
rates, terms, direction, coding, weights    what is measured
nulls, counterfactuals    what it is measured beside
running, result, verdict  spreads over samples, and what they say
text, files, figures, page    for reading
"""
