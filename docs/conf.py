"""Sphinx: the documentation site. `make docs` builds it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "srr"
author = "The srr developers"
copyright = "the srr developers, MIT licence"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "site_math",
    "site_names",
    "site_pages",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
nitpicky = True

html_theme = "furo"
html_title = "srr"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

html_math_renderer = "srr"
smartquotes = False
myst_enable_extensions = ["deflist", "dollarmath", "fieldlist"]
srr_results = "../srr-report/results.json"

default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False


def setup(app):
    """Pages of source have no navigation tree, whose cost is a page times all pages: the reference leads to them."""
    app.connect("html-page-context", without_tree, priority=400)


def without_tree(app, name, template, context, doctree):
    if name.startswith("_modules/"):
        context["toctree"] = lambda **options: ""
