"""The commands of ``srr``: a file and a function each, of the same name."""
