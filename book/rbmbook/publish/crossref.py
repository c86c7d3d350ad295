"""References in a notebook's prose as readable text, without Sphinx: citations, labels, quoted numbers.

Roles and directives that plain docutils does not know are stood in for while a page is parsed; then, with the
whole page read, labels are resolved to numbered figures, numbered equations and section titles.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from docutils import nodes
from docutils.parsers.rst import Directive, directives, roles
from docutils.parsers.rst.directives.body import MathBlock
from nbformat import NotebookNode

from rbmbook.publish.beside import Comparison, address_of, page_with_label, readable, title_of_page
from rbmbook.publish.project import Project

ROLE = re.compile(r"\{([a-zA-Z][\w:.+-]*)\}`")
DIRECTIVE = re.compile(r"^\s*(?:`{3,}|:{3,}|~{3,})\s*\{([a-zA-Z][\w:.+-]*)\}", re.MULTILINE)
QUOTED = re.compile(r"\{glue(?::\w*)?\}`([^`]*?)::([^`]+)`")
#: A number glued in by this page's own cells, with the format it is asked in.
OWN = re.compile(r"\{glue(?::\w*)?\}`([^`:]+)((?::[^`:]*)?)`")
#: What interprets the published figures; on the page of another run it keeps the published numbers.
PUBLISHED_BLOCK = re.compile(r"^:::\{div\} published-run\n(.*?)^:::$", re.MULTILINE | re.DOTALL)
#: Roles of text that is put in here: as it is, and as the published number beside another.
VALUE, BESIDE = "rbmlib-value", "rbmlib-beside"
#: Directives whose content means nothing on a page that stands alone.
DROPPED = {"bibliography", "toctree", "tableofcontents", "contents", "index"}
CITATIONS = re.compile(r"^(cite|footcite)(:|$)")
MISSING = "(number on another page)"


class _AnyOption(dict[str, Callable[[str], Any]]):
    def __bool__(self) -> bool:
        return True

    def __missing__(self, key: str) -> Callable[[str], Any]:
        return directives.unchanged


class _Aside(Directive):
    """Stand-in for a directive of a Sphinx extension: its title and its content."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = _AnyOption()

    def run(self) -> list[nodes.Node]:
        if self.name in DROPPED:
            return []
        box = nodes.container(classes=["aside"])
        if self.arguments:
            title = nodes.paragraph(classes=["admonition-title"])
            content, _ = self.state.inline_text(self.arguments[0], self.lineno)
            title += content
            box += title
        self.state.nested_parse(self.content, self.content_offset, box)
        label = self.options.get("label") or self.options.get("name")
        if label:
            box["names"].append(nodes.fully_normalize_name(label))
            self.state.document.note_explicit_target(box, box)
        return [box]


class _Block(_Aside):
    """A block of prose; the one that interprets the published figures says so on the page of another run."""

    def run(self) -> list[nodes.Node]:
        classes = self.arguments.pop().split() if self.arguments else []
        (box,) = super().run()
        box["classes"] = classes
        if "in-the-published-run" in classes:
            box["classes"] = ["aside"]
            box.insert(0, nodes.paragraph("", "In the published run", classes=["admonition-title"]))
        return [box]


class _Equation(MathBlock):
    """The math directive with the option ``label``, as Sphinx has it."""

    option_spec: ClassVar[dict[str, Callable[[str], Any]]] = {
        **MathBlock.option_spec,
        "label": directives.unchanged,
        "nowrap": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        label = self.options.pop("label", None)
        self.options.pop("nowrap", None)
        result = super().run()
        if label and result and isinstance(result[0], nodes.math_block):
            result[0]["names"].append(nodes.fully_normalize_name(label))
            self.state.document.note_explicit_target(result[0], result[0])
        return result


@contextlib.contextmanager
def understanding(
    notebook: NotebookNode, project: Project | None, run: Comparison | None = None
) -> Iterator[NotebookNode]:
    """A copy of a notebook with quoted numbers filled in, and docutils taught every role and directive in it.

    Parameters
    ----------
    notebook : NotebookNode
        The executed notebook; left as it is.
    project : Project, optional
        The clone whose bibliography and executed notebooks are read.
    run : Comparison, optional
        The notebook beside the published one. Where they differ, each number in the prose has the published one
        beside it, and what interprets the published figures keeps the published numbers and says so.
    """
    readable = copy.deepcopy(notebook)
    prose = [cell for cell in readable.cells if cell.cell_type == "markdown"]
    for cell in prose:
        cell.source = QUOTED.sub(lambda match: _quoted(match, project), cell.source)
        if run is not None:
            cell.source = _beside(cell.source, run)
    text = "\n\n".join(cell.source for cell in prose)
    bibliography = _bibliography(project) if project is not None else {}
    new_roles = {
        name for name in ROLE.findall(text) if not name.startswith(("glue", "eval")) and not _known_role(name)
    }
    new_directives = {
        name
        for name in DIRECTIVE.findall(text)
        if not name.startswith(("glue", "eval", "code-cell", "raw-cell")) and not _known_directive(name)
    }
    registries: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (roles._roles, {name: _stand_in(name, bibliography) for name in new_roles}),
        (directives._directives, {**dict.fromkeys(new_directives, _Aside), "math": _Equation, "div": _Block}),
    ]
    before = [dict(registry) for registry, _ in registries]
    try:
        for registry, additions in registries:
            registry.update(additions)
        yield readable
    finally:
        for (registry, _), old in zip(registries, before, strict=True):
            registry.clear()
            registry.update(old)


def _beside(text: str, run: Comparison) -> str:
    """Prose with words for missing numbers and, where the run differs from the published one, the numbers of both."""

    def published(match: re.Match[str]) -> str:
        return _value(run.published[match[1]]) if match[1] in run.published else match[0]

    def both(match: re.Match[str]) -> str:
        yours, other = run.yours.get(match[1]), run.published.get(match[1])
        if yours is None:
            return match[0]
        told = match[0] if readable(yours) == yours else _value(readable(yours))
        return f"{told} {{{BESIDE}}}`{other}`" if run.differs and other not in (None, yours) else told

    pieces, end = [], 0
    for block in PUBLISHED_BLOCK.finditer(text):
        pieces.append(OWN.sub(both, text[end : block.start()]))
        if run.differs:
            pieces.append(f":::{{div}} in-the-published-run\n{OWN.sub(published, block[1])}:::")
        else:
            pieces.append(OWN.sub(both, block[0]))
        end = block.end()
    return "".join([*pieces, OWN.sub(both, text[end:])])


def _value(text: str) -> str:
    return f"{{{VALUE}}}`{text}`"


def _known_role(name: str) -> bool:
    from docutils.parsers.rst.languages import en

    return name in en.roles or name in roles._roles or name in roles._role_registry


def _known_directive(name: str) -> bool:
    from docutils.parsers.rst.languages import en

    if name in DROPPED:
        return False
    return name in en.directives or name in directives._directives or name in directives._directive_registry


def _stand_in(role: str, bibliography: dict[str, tuple[str, str]]) -> Callable[..., Any]:
    """A role function for a role that only Sphinx has."""

    def run(
        name: str, rawtext: str, text: str, *rest: Any, **options: Any
    ) -> tuple[list[nodes.Node], list[Any]]:
        if CITATIONS.match(role):
            return _citation(text, role, bibliography), []
        if role == VALUE:
            return [nodes.Text(text)], []
        if role == BESIDE:
            return [nodes.inline("", f"(published: {text})", classes=["published"])], []
        match = re.fullmatch(r"(.+?)\s*<([^<>]+)>", text, re.DOTALL)
        title, target = (match[1], match[2]) if match else ("", text)
        if ":" in role and not role.startswith(("std:", "prf:")):
            # A name in code: py:func and its like.
            shown = title or (target.rsplit(".", 1)[-1].lstrip("~") if target.startswith("~") else target)
            return [nodes.literal("", shown)], []
        return [
            nodes.inline(
                "", title or target, classes=["crossref"], role=role, label=target, explicit=bool(title)
            )
        ], []

    return run


def _citation(text: str, role: str, bibliography: dict[str, tuple[str, str]]) -> list[nodes.Node]:
    shown: list[nodes.Node] = []
    for key in (part.strip() for part in text.split(",")):
        label, address = bibliography.get(key, (key, ""))
        if shown:
            shown.append(nodes.Text("; "))
        shown.append(nodes.reference("", label, refuri=address) if address else nodes.inline("", label))
    textual = role.endswith((":t", ":ts", ":ct"))
    return shown if textual else [nodes.Text("("), *shown, nodes.Text(")")]


def _bibliography(project: Project) -> dict[str, tuple[str, str]]:
    """Author-year label and address of every entry of the book's bibliographies."""
    entries: dict[str, tuple[str, str]] = {}
    for path in sorted((project.root / "book").glob("*.bib")):
        from pybtex.database import parse_file

        for key, entry in parse_file(str(path)).entries.items():
            names = [" ".join(person.last_names) for person in entry.persons.get("author", [])]
            who = names[0] if names else key
            who = f"{who} and {names[1]}" if len(names) == 2 else f"{who} et al." if len(names) > 2 else who
            address = entry.fields.get("url") or (
                f"https://doi.org/{entry.fields['doi']}" if "doi" in entry.fields else ""
            )
            label = re.sub(r"[{}]", "", f"{who} {entry.fields.get('year', '')}".strip())
            entries[key] = (label, address)
    return entries


def _quoted(match: re.Match[str], project: Project | None) -> str:
    """A number glued in from another page's executed notebook, formatted."""
    from myst_nb.core.variables import format_plain_text

    if project is None:
        return MISSING
    target, (key, _, specification) = match[1], match[2].rpartition(":")
    path = project.root / target.lstrip("/") if target.startswith("/") else project.executed / target
    text = _glued(path, key or specification)
    if text is None:
        return MISSING
    try:
        return format_plain_text(text, specification if key else "s")
    except (ValueError, SyntaxError):
        return text


def _glued(path: Path, key: str) -> str | None:
    """The plain text glued under a key in an executed notebook, or None."""
    if not path.is_file():
        return None
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == key:
                for mime, content in output.data.items():
                    if mime.endswith("text/plain"):
                        return str(content)
    return None


def resolve(tree: nodes.document, project: Project | None = None, folder: Path | None = None) -> None:
    """Number a parsed page's figures and equations, link references to labels, drop the parser's messages.

    A reference to another page of the book becomes a link to it where it can be opened, and plain words elsewhere.

    Parameters
    ----------
    tree : docutils document
        The page, changed in place.
    project : Project, optional
        The clone whose other pages are referred to.
    folder : Path, optional
        Where the page will lie.
    """
    for node in list(tree.findall(nodes.system_message)):
        node.parent.remove(node)
    for section in [
        node for node in tree.findall(nodes.section) if "system-messages" in node.get("classes", [])
    ]:
        section.parent.remove(section)
    numbers = _number_figures(tree) | _number_equations(tree)
    for reference in list(
        tree.findall(lambda node: "crossref" in getattr(node, "attributes", {}).get("classes", []))
    ):
        name = nodes.fully_normalize_name(reference["label"])
        target = tree.ids.get(tree.nameids.get(name) or nodes.make_id(name))
        text = reference.astext()
        if not reference["explicit"] and target is not None:
            text = numbers.get(id(target)) or _title(target) or text
        elif target is None and project is not None:
            text, address = _elsewhere(reference, project, folder)
            if address:
                reference.parent.replace(reference, nodes.reference("", text, refuri=address))
                continue
        elif not reference["explicit"]:
            text = text.rsplit("/", 1)[-1]
        elif target is not None:
            text = text.replace("%s", re.sub(r"\D", "", numbers.get(id(target), ""))).replace("{number}", "")
        identifier = target["ids"][0] if target is not None and target.get("ids") else None
        new = (
            nodes.reference("", text, refid=identifier, internal=True)
            if identifier
            else nodes.inline("", text)
        )
        reference.parent.replace(reference, new)


def _elsewhere(reference: nodes.Element, project: Project, folder: Path | None) -> tuple[str, str]:
    """Words and address of a reference to what this page does not have; no address where nothing is found."""
    role, label, text = reference["role"], reference["label"], reference.astext()
    if role in ("doc", "repository"):
        shown = text if reference["explicit"] else (role == "doc" and title_of_page(project, label)) or label
        return shown, address_of(project, label, folder)
    found = page_with_label(project, label)
    if found is None:
        return (text if reference["explicit"] else text.rsplit("/", 1)[-1]), ""
    kind = {"eq": "equation in ", "numref": "figure in "}.get(role, "")
    anchor = nodes.make_id(label)
    address = address_of(project, found[0], folder)
    shown = text if reference["explicit"] else kind + found[1]
    return shown, f"{address}#{'equation-' * (role == 'eq')}{anchor}" if address.endswith(
        ".html"
    ) else address


def _number_figures(tree: nodes.document) -> dict[int, str]:
    numbers: dict[int, str] = {}
    for number, figure in enumerate(tree.findall(nodes.figure), start=1):
        numbers[id(figure)] = f"Fig. {number}"
        caption = next(figure.findall(nodes.caption), None)
        if caption is not None:
            caption.insert(0, nodes.strong("", f"Fig. {number}. "))
    for image in tree.findall(nodes.image):
        # The parser's alternative text is the name of a temporary file.
        figure = image.parent
        caption = next(figure.findall(nodes.caption), None) if isinstance(figure, nodes.figure) else None
        image["alt"] = caption.astext() if caption is not None else "output of the cell above"
    return numbers


def _number_equations(tree: nodes.document) -> dict[int, str]:
    numbers: dict[int, str] = {}
    labelled = [node for node in tree.findall(nodes.math_block) if node.get("names")]
    for number, block in enumerate(labelled, start=1):
        numbers[id(block)] = f"({number})"
        tagged = f"{block.astext().strip()} \\tag{{{number}}}"
        block.children = [nodes.Text(tagged)]
    return numbers


def _title(target: nodes.Element) -> str:
    holder = target if isinstance(target, nodes.section) else target.parent
    title = next(iter(holder.findall(nodes.title)), None) if holder is not None else None
    return title.astext() if title is not None and isinstance(holder, nodes.section) else ""
