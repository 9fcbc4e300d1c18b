"""The report: one self-contained HTML file, the same bytes for the same run."""

from verify.report.page import render

__all__ = ["render"]
