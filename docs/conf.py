"""Configuration of the documentation's web site, which `tox -e docs` builds into build/docs.

The source folder is the checkout, so that pages may link to the samples and to CONTRIBUTING.md as they do on a forge.
An index page's list of links also serves as its table of contents.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from pygments.lexers.shell import BashLexer
from pygments.lexers.special import TextLexer

from ebpfvm import __version__
from ebpfvm.cli.main import build_parser

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "ebpfvm"
version = release = __version__
root_doc = "docs/index"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = ["docs/**.md", "*.md", "samples/**.md", "tests/**.md"]
exclude_patterns = ["build", ".*"]

html_theme = "alabaster"
html_theme_options = {"description": "eBPF and packet scheduling in pure Python", "page_width": "72em",
                      "body_max_width": "none", "fixed_sidebar": True}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_extra_path = ["redirect"]  # an index.html at the top, which leads to root_doc
html_show_copyright = False

myst_heading_anchors = 4  # links to headings are checked
smartquotes = False
default_role = "literal"  # `name` in a docstring is code
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature already has them
napoleon_use_ivar = True

_LINK = re.compile(r"\]\(([\w./-]+)\.md\)")
_SIGN = re.compile(r"`[^`]*`|[*|]|(?<=\w)_(?!\w)")


def _contents(text: str, root: bool) -> str:
    """Return a hidden table of contents: the pages that an index links to, except those that are in other indexes."""
    foreign = r"\w+/(?!index$)" if root else r"\.\./\w"
    pages = [page for page in dict.fromkeys(_LINK.findall(text)) if not re.match(foreign, page)]
    return "\n".join(["", "```{toctree}", ":hidden:", ":maxdepth: 1", "", *pages, "```", ""])


def _help() -> str:
    """Return the help of each command as a section."""
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return "".join(f"\n## ebpfvm {name}\n\n```text\n{command.format_help()}```\n"
                   for name, command in commands.choices.items())


def _read(_app: Sphinx, page: str, source: list[str]) -> None:
    if page.endswith("/index") or page in ("samples/README", "tests/README"):
        source[0] += _contents(source[0], page == root_doc)
    if page == "docs/reference/cli":
        source[0] += _help()


def _escape(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Escape what a docstring means as it stands and reStructuredText does not: `BPF_F_*` without backquotes."""
    lines[:] = [_SIGN.sub(lambda sign: sign[0] if len(sign[0]) > 1 else "\\" + sign[0], line) for line in lines]


def setup(app: Sphinx) -> None:
    """Connect the pages that are completed while they are read, and name the languages of code blocks."""
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _escape, priority=100)  # before napoleon, which adds signs of its own
    app.add_lexer("tc", BashLexer)
    app.add_lexer("error", TextLexer)
