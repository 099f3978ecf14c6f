"""The site: how Sphinx builds it. CONTRIBUTING.md has the command."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks, which are not installed
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from starfish_fetch import __version__

project = "starfish_fetch"
author = "The starfish_fetch developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sitelib",
]
exclude_patterns = ["_build", "gallery"]
templates_path = ["_templates"]
smartquotes = False  # "--like" is an option, not a dash
highlight_language = "python"
myst_heading_anchors = 3

# Reference. Docstrings name the types of parameters; signatures would say them again.
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
add_module_names = False
toc_object_entries_show_parents = "hide"

# References must resolve. What is not ours is not linked: a build needs no network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!starfish_fetch|synth)[a-z_]+(\.\w+)+"),
    ("py:mod", r"tracemalloc"),
]

# Gallery: what is in gallery/ is run, and written to learn/.
sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["learn"],
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib", "sitelib.figures.figure_scraper"),
    "image_srcset": ["2x"],
    "capture_repr": ("_repr_html_",),
    "thumbnail_size": (480, 300),
    "doc_module": ("starfish_fetch", "synth"),
    "reference_url": {"starfish_fetch": None, "synth": None},
    "backreferences_dir": "reference/generated/examples",
    "inspect_global_variables": True,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 10_000,
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "starfish_fetch"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_extra_path = ["reference/generated/site"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": "starfish_fetch"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button-field"],
    "navigation_depth": 3,
    "show_toc_level": 2,
    "show_prev_next": False,
    "search_as_you_type": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
