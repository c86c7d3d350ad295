"""What the book needs from Sphinx beyond its ordinary extensions.

- No request leaves a page: MathJax is copied from an installed package, unused scripts are dropped.
- The repository's address and the version are read from ``pyproject.toml``, their one home.
- API pages list the modules of a floor as they are found, and know compiled functions.
- A changed notebook renews every page, because any of them may show its numbers.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.ext.autodoc import FunctionDocumenter
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from rbmbook.publish.mathjax import mathjax_script

logger = logging.getLogger(__name__)

MATHJAX = "tex-svg-full.js"
"""One file with every TeX extension, so that nothing is loaded later."""


class RepositoryRole(SphinxRole):
    """``{repository}`path` `` links a file or folder of the repository; with a text, ``text <path>``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        text, _, path = self.text.removesuffix(">").rpartition("<")
        address = self.config.html_theme_options["repository_url"]
        if path:
            address += f"/blob/{self.config.html_theme_options['repository_branch']}/{path}"
        label = nodes.inline("", text.strip()) if text else nodes.literal("", path)
        return [nodes.reference("", "", label, refuri=address)], []


class ModulesDirective(SphinxDirective):
    """``{modules} NAME...`` documents the named modules, and the modules of a named package in its order."""

    required_arguments = 1
    optional_arguments = 100

    def run(self) -> list[nodes.Node]:
        lines = [line for name in self.arguments for line in self._module(name)]
        container = nodes.Element()
        content = StringList(lines, source=self.get_source_info()[0])
        self.state.nested_parse(content, self.content_offset, container, match_titles=True)
        return container.children

    def _module(self, name: str) -> list[str]:
        try:
            path = getattr(importlib.import_module(name), "__path__", ())
        except ImportError as reason:
            logger.warning("cannot document %s: %s", name, reason, location=self.get_location())
            return []
        lines = [f"## `{name}`", "", "```{eval-rst}", f".. automodule:: {name}", "   :members:",
                 "   :ignore-module-all:", "```", ""]  # fmt: skip
        for child in pkgutil.iter_modules(path):
            if not child.name.startswith("_"):
                lines += self._module(f"{name}.{child.name}")
        return lines


class CompiledFunctionDocumenter(FunctionDocumenter):
    """Documents what numba has compiled, or turned into an intrinsic, as the Python function that it was."""

    objtype = "compiledfunction"
    directivetype = "function"
    priority = FunctionDocumenter.priority + 10

    @classmethod
    def can_document_member(cls, member: Any, membername: str, isattr: bool, parent: Any) -> bool:
        return isinstance(member, (Dispatcher, _Intrinsic))

    def import_object(self, raiseerror: bool = False) -> bool:
        found = super().import_object(raiseerror)
        if found:
            self.object = getattr(self.object, "py_func", None) or self.object._defn
        return found

    def format_args(self, **options: Any) -> str:
        # An intrinsic's first argument is the compiler's, not the caller's.
        return super().format_args(**options).replace("(typingctx, ", "(").replace("(typingctx)", "()")


def resolve_reexport(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> Any:
    """Link a name that a module imports or a package re-exports to where it is defined and documented."""
    target = node["reftarget"]
    if node.get("refdomain") != "py":
        return None
    package, _, name = (
        target.rpartition(".")
        if target.startswith(("rbmlib.", "rbmbook."))
        else (node.get("py:module"), "", target)
    )
    try:
        found = importlib.import_module(package or "rbmlib")
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    found = getattr(found, "py_func", found)
    home = f"{getattr(found, '__module__', package)}.{getattr(found, '__qualname__', name)}"
    if home == target:
        return None
    return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, content)


def set_project_facts(app: Sphinx, config: Config) -> None:
    """Take the address and the version from pyproject.toml, and MathJax from where it is installed."""
    project = tomllib.loads((Path(app.confdir) / "pyproject.toml").read_text())["project"]
    try:
        address = project["urls"]["Repository"]
    except KeyError:
        raise ExtensionError(
            "pyproject.toml must name the repository's address as [project.urls] Repository"
        ) from None
    config.html_theme_options["repository_url"] = address
    config.html_theme_options["repository_branch"] = "main"
    config.release = config.version = project["version"]
    clone = f"```console\n$ git clone {address}\n$ cd {address.rsplit('/', 1)[1]}\n$ make book\n```"
    config.myst_substitutions = {**config.myst_substitutions, "clone": clone, "version": project["version"]}
    config.mathjax_path = f"mathjax/{MATHJAX}"


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put MathJax beside the pages, so that formulas need no network."""
    if error is not None or app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mathjax_script(MATHJAX), target / MATHJAX)


def drop_thebe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Drop the scripts for kernels in the page: unused, declared twice, and aimed at a foreign server."""
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script
        for script in scripts
        if "thebe" not in f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}"
    ]


def keep_bars(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let ``|x|`` in a docstring be an absolute value, not the name of a substitution."""
    for index, line in enumerate(lines):
        if line.count("|") > 1:
            pieces = re.split(r"(``.*?``|:math:`.*?`)", line)
            lines[index] = "".join(
                piece if place % 2 else re.sub(r"(?<!\\)\|", r"\|", piece)
                for place, piece in enumerate(pieces)
            )


def renew_all(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> set[str]:
    """Read every page again when an executed notebook is new: Sphinx does not know who quotes its numbers."""
    touched = any(name.startswith("book/executed/") for name in added | changed | removed)
    return set(env.found_docs) if touched else set()


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_autodocumenter(CompiledFunctionDocumenter)
    app.add_role("repository", RepositoryRole())
    app.add_directive("modules", ModulesDirective)
    app.connect("config-inited", set_project_facts, priority=900)
    app.connect("env-get-outdated", renew_all)
    app.connect("autodoc-process-docstring", keep_bars, priority=400)
    app.connect("missing-reference", resolve_reexport)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
