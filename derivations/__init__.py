"""The mathematics of srr as derivations that a machine checks. Empty so far."""
