"""Sphinx: the pages of this folder as a site (``make docs``). Warnings are errors there."""

project = "humanlrm"
copyright = "the humanlrm authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.doctest"]
html_theme = "furo"
html_title = "humanlrm"
html_static_path: list[str] = []
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
napoleon_use_ivar = True
autodoc_member_order = "bysource"
# Shapes are read as they stand in the source.
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
# Links to files of the repository beside this folder lead to nothing on the site, and old logs skip levels of headings.
# The last toctree of the index takes up pages that no other one names.
suppress_warnings = ["myst.header", "myst.xref_missing", "toc.multiple_toc_parents"]
doctest_test_doctest_blocks = ""
