"""What MkDocs does beside itself for the documentation: ``mkdocs.yml`` names this module.

Pages of the repository's root join those of ``docs``, and links between the two hold on the site as
they do in the repository. Formulas become MathML while the site is built: nothing has to run, or to
be loaded, where it is read. A build that would load anything from elsewhere fails.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from math_core import LatexError, LatexToMathML
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

#: Pages of the repository's root that the site has, too.
ROOT_PAGES = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
#: README.md would be the site's first page by its name alone.
RENAMED = {"README.md": "readme.md"}
#: A font with the tables that formulas need (SIL Open Font License), from the package that has it.
FONT = ("ziamath", "fonts/STIXTwoMath-Regular.ttf", "site/STIXTwoMath-Regular.ttf")

#: Made while the site is built, from the commands' own help.
COMMANDS = "commands.md"

_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
#: A bar within a cell has a backslash in the source, which would be shown where it is code.
_CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
_FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)
_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=[\"']?(?:https?:)?//[^\s>]*"
    r"|<link\b[^>]*\bhref=[\"']?(?:https?:)?//[^\s>]*"
    r"|(?:url\(|@import\s+)[\"']?(?:https?:)?//[^\s)]*"
)

_mathml = LatexToMathML(fancy_error=False)


def on_files(files: Any, config: Any) -> Any:
    """Add the root's pages, those that are made, and the font of formulas."""
    root = Path(config.config_file_path).parent
    for name in ROOT_PAGES:
        text = (root / name).read_text(encoding="utf-8")
        place = RENAMED.get(name, name)
        files.append(File.generated(config, place, content=text))
    sys.path[:0] = [str(root), str(root / "src")]
    from tools.site import commands, notebooks

    files.append(File.generated(config, COMMANDS, content=commands.page()))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        notebook = json.loads(file.content_string)
        place = file.src_uri.replace(".ipynb", ".md")
        text = notebooks.markdown(notebook, posixpath.basename(file.src_uri))
        files.append(File.generated(config, place, content=text))
    package, inside, place = FONT
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise PluginError(f"{package} is missing: run `make docs`, which installs it")
    font = Path(spec.origin).parent / inside
    files.append(File.generated(config, place, abs_src_path=str(font)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Let links between ``docs`` and the root point to where the pages are on the site."""
    place = page.file.src_uri
    named = {site: name for name, site in RENAMED.items()}.get(place, place)
    source = named if named in ROOT_PAGES else f"docs/{place}"

    def moved(found: re.Match[str]) -> str:
        link = found[2]
        if "://" in link or link.startswith("mailto:"):
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if target.startswith("docs/"):
            target = target.removeprefix("docs/")
            shown = target.replace(".ipynb", ".md")
            target = target if shown == place else shown  # a notebook's page offers its file
        elif target in ROOT_PAGES:
            target = RENAMED.get(target, target)
        else:
            raise PluginError(f"{source}: {link} is no page of the site; name the file instead")
        return found[1] + posixpath.relpath(target, posixpath.dirname(place) or ".") + found[3]

    return _LINK.sub(moved, markdown)


def on_page_content(content: str, *, page: Any, **_: Any) -> str:
    """Turn each formula into MathML, one that is no LaTeX ends the build; mend bars in tables."""

    def drawn(found: re.Match[str]) -> str:
        latex = html.unescape(found[2]).strip()
        display = latex.startswith("\\[")
        latex = latex.removeprefix("\\[" if display else "\\(")
        latex = latex.removesuffix("\\]" if display else "\\)").strip()
        try:
            formula = mathml(latex, display=display)
        except LatexError as error:
            raise PluginError(f"{page.file.src_uri}: {latex}: {error}") from None
        return f'<div class="formula">{formula}</div>' if display else formula

    content = _CELL.sub(lambda cell: cell[0].replace("\\|", "|"), content)
    return _FORMULA.sub(drawn, content)


def mathml(latex: str, *, display: bool) -> str:
    """Return a formula as MathML; wide tildes, which the converter lacks, begin as wide hats."""
    if "\\widetilde" not in latex:
        return str(_mathml.convert_with_local_state(latex, displaystyle=display))
    if "\\widehat" in latex:
        raise LatexError("\\widetilde beside \\widehat: use \\tilde for one of them")
    hat = _mathml.convert_with_local_state(
        latex.replace("\\widetilde", "\\widehat"), displaystyle=display
    )
    return str(hat).replace("\u0302", "\u0303")


def on_post_build(config: Any) -> None:
    """Refuse a site that loads anything from elsewhere, or shows a formula as text."""
    site = Path(config.site_dir)
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        text = path.read_text(encoding="utf-8")
        for what in _LOADED.findall(text):
            raise PluginError(f"{path.relative_to(site)} loads {what} from elsewhere")
        if "arithmatex" in text and path.suffix == ".html":
            raise PluginError(f"{path.relative_to(site)} has a formula that was not drawn")
