"""From a notebook's source to an executed notebook that comes out the same, byte for byte, each time.

The source is MyST Markdown (jupytext). It is converted in memory, executed by papermill in a temporary
folder with the interpreter that runs this code, stripped of everything that a rerun would change, and moved
into place only when every cell succeeded.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from rbmbook.lab.ticking import ticking
from rbmbook.publish.errors import BadNotebook, NotebookFailed, NotWritable
from rbmbook.publish.parameters import Parameter, Value, declared
from rbmbook.publish.project import Project
from rbmlib import files

TAG = "parameters"
ENGINE = "rbmlib"
#: Seconds until a kernel must answer; it imports first, which takes long on a busy machine. One that died is noticed at once.
_LONGEST_START = 600
#: What a kernel does when it starts; as ipykernel's own launcher, it does not look for modules in its working folder.
_LAUNCH = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
try:
    exec({imports!r}, {{}})
except Exception:
    pass
from ipykernel import kernelapp
kernelapp.launch_new_instance()
"""
#: Memory addresses in plain-text representations: different in every process.
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def read_source(path: Path) -> NotebookNode:
    """A notebook's source as a notebook whose cell ids depend on the cells' texts alone.

    Parameters
    ----------
    path : Path
        The MyST Markdown file.

    Raises
    ------
    BadNotebook
        If the file cannot be read as a notebook.
    """
    try:
        notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="md:myst")
    except Exception as error:
        raise BadNotebook(f"{path.name} cannot be read as a MyST notebook: {error}") from error
    name_cells(notebook)
    return notebook


def name_cells(notebook: NotebookNode) -> None:
    """Give each cell an id made from its kind and text, numbered where two cells are equal."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        stem = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        count = seen[stem] = seen.get(stem, 0) + 1
        cell["id"] = stem if count == 1 else f"{stem}-{count}"


def source_digest(path: Path) -> str:
    """sha256 of a notebook's source, whatever the platform's line ends."""
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()


def parameters_of(project: Project, name: str) -> dict[str, Parameter]:
    """The parameters that a notebook declares, by name, in order; empty without a parameters cell.

    Raises
    ------
    UnknownName
        If there is no such notebook.
    BadNotebook
        If its parameters cell does not keep to the conventions of `rbmbook.publish.parameters`.
    """
    notebook = read_source(project.source(name))
    cells = [cell for cell in notebook.cells if TAG in cell.metadata.get("tags", [])]
    if len(cells) > 1:
        raise BadNotebook(f"{name}.md has {len(cells)} cells tagged {TAG!r}; one is allowed")
    return declared(cells[0].source) if cells else {}


def code_of(notebook: NotebookNode) -> str:
    """The Python code of all code cells as one module, without IPython's magics and shell lines."""
    lines = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code").splitlines()
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines) + "\n"


def title_of(notebook: NotebookNode, default: str) -> str:
    """The first top-level heading, without markup."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.search(r"^# +(.+)$", cell.source, re.MULTILINE)):
            return match[1].strip()
    return default


def _told(execute: Callable[..., Path]) -> Callable[..., Path]:
    """Let a function that executes a notebook report every half minute that it still does."""

    @functools.wraps(execute)
    def telling(project: Project, name: str, *args: Any, **options: Any) -> Path:
        report = options.get("report") or (lambda line: None)
        with ticking(report, lambda seconds: f"executing {name}: {seconds:.0f} s"):
            return execute(project, name, *args, **options)

    return telling


@_told
def execute(
    project: Project,
    name: str,
    destination: Path,
    *,
    values: Mapping[str, Value] | None = None,
    record: Mapping[str, Any] | None = None,
    report: Callable[[str], None] | None = None,
    kernel: Kernel | None = None,
) -> Path:
    """Execute a notebook and put the tidied result in place.

    Parameters
    ----------
    project : Project
        The clone whose notebook it is.
    name : str
        The notebook.
    destination : Path
        Where the executed notebook goes; its folder is made. Untouched unless every cell succeeds.
    values : mapping, optional
        Parameter values that differ from the notebook's defaults, already of their types.
    record : mapping, optional
        What made this notebook; stored as its metadata under ``rbmlib``.
    report : callable, optional
        Called with what the cells wrote to standard error, which is not kept.
    kernel : Kernel, optional
        Where it runs, started beforehand; one of its own by default.

    Returns
    -------
    Path
        The destination.

    Raises
    ------
    NotebookFailed
        If a cell raises, naming the notebook, the cell and the error.
    """
    source = read_source(project.source(name))
    with contextlib.ExitStack() as held:
        if kernel is None or not kernel.is_alive():
            kernel = held.enter_context(started_kernel(project, name))
        notebook = _run(source, name, dict(values or {}), kernel)
    for text in tidy(notebook):
        if report is not None:
            report(text)
    if record is not None:
        notebook.metadata["rbmlib"] = json.loads(json.dumps(record))
    return write_whole(destination, nbformat.writes(notebook) + "\n")


def write_whole(path: Path, text: str) -> Path:
    """Write a text file so that other processes see the old one or the new one, never a part.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    NotWritable
        If the file or its folder cannot be written; nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, text.encode())
    except OSError as error:
        raise NotWritable(f"cannot write {path}: {error.strerror or error}") from error
    return path


def require_writable(folder: Path, what: str) -> None:
    """Say before hours of computing, not after, that a folder cannot be written; nothing is left there.

    Parameters
    ----------
    folder : Path
        The folder. If it is not there yet, the nearest one above it must allow it to be made.
    what : str
        What it is, for the message.

    Raises
    ------
    NotWritable
        If nothing can be written there.
    """
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
        if nearest == folder:
            tempfile.TemporaryFile(dir=nearest).close()
        else:
            # Made and removed: some file systems say that a folder may be written, and refuse.
            made = [
                place
                for place in (folder, *folder.parents)
                if place.is_relative_to(nearest) and place != nearest
            ]
            made[-1].mkdir()
            made[-1].rmdir()
    except OSError as error:
        raise NotWritable(
            f"{what}, {folder}, cannot be written: {error.strerror or error}; name another one"
        ) from error


@dataclass(frozen=True)
class Kernel:
    """A running kernel that has imported what a notebook imports.

    Parameters
    ----------
    manager : AsyncKernelManager
        What started it and ends it.
    folder : Path
        The kernel's working folder.
    """

    manager: Any
    folder: Path

    def is_alive(self) -> bool:
        """Whether it still runs."""
        from jupyter_core.utils import run_sync

        return bool(run_sync(self.manager.is_alive)())


@contextlib.contextmanager
def started_kernel(project: Project, name: str) -> Iterator[Kernel]:
    """Start a kernel that imports what a notebook will, and end it afterwards.

    It is ready the sooner the earlier it starts: while cells are computed it costs what it would cost later.

    Raises
    ------
    UnknownName
        If there is no such notebook.
    """
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    imports = _imports(code_of(read_source(project.source(name))))
    with tempfile.TemporaryDirectory(prefix="rbmlib-") as temporary:
        with _clean_kernel(Path(temporary), imports):
            manager = AsyncKernelManager(kernel_name="python3")
            run_sync(manager.start_kernel)(cwd=str(project.notebooks))
        try:
            yield Kernel(manager, project.notebooks)
        finally:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)
            run_sync(manager.cleanup_resources)()


def _imports(code: str) -> str:
    """The import statements at the top level of a notebook's code; nothing if it is no Python, which is told later."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return ""
    return "\n".join(ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom))


def _run(source: NotebookNode, name: str, values: dict[str, Value], kernel: Kernel) -> NotebookNode:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    _register_engine()
    with tempfile.TemporaryDirectory(prefix="rbmlib-") as temporary:
        given, out = Path(temporary, "source.ipynb"), Path(temporary, "executed.ipynb")
        nbformat.write(source, given)
        try:
            return papermill.execute_notebook(
                given,
                out,
                parameters=values,
                kernel_name="python3",
                engine_name=ENGINE,
                progress_bar=False,
                cwd=kernel.folder,
                km=kernel.manager,
            )
        except PapermillExecutionError as error:
            message = (
                f"notebook {name!r} failed in code cell {error.exec_count}: {error.ename}: {error.evalue}"
            )
            raise NotebookFailed(message, ANSI.sub("", "\n".join(error.traceback))) from None


def _register_engine() -> None:
    """Teach papermill to run a notebook in a kernel that is there already."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, papermill_engines

    if ENGINE in papermill_engines._engines:
        return

    class Started(Engine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> NotebookNode:
            client = PapermillNotebookClient(
                nb_man,
                km=options["km"],
                kernel_name=kernel_name,
                shutdown_kernel="immediate",
                startup_timeout=_LONGEST_START,
            )
            return client.execute(cleanup_kc=True)

    papermill_engines.register(ENGINE, Started)


@contextlib.contextmanager
def _clean_kernel(folder: Path, imports: str = "") -> Iterator[None]:
    """Let kernel ``python3`` be this very interpreter, without the user's start-up files or random hashes.

    It makes the imports first; one that fails is told when the notebook comes to it.
    """
    specification = {
        "argv": [
            sys.executable,
            "-c",
            _LAUNCH.format(imports=imports),
            "--log-level=CRITICAL",
            "-f",
            "{connection_file}",
        ],
        "display_name": "Python 3",
        "language": "python",
    }
    kernel = folder / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(specification))
    changes = {
        "JUPYTER_PATH": str(folder / "jupyter"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    before = {key: os.environ.get(key) for key in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def tidy(notebook: NotebookNode) -> list[str]:
    """Remove in place what a rerun would change: timings, versions, addresses, chunks of streams.

    Returns
    -------
    list of str
        The texts that cells wrote to standard error; they name files of this machine, so they are not kept.
    """
    notebook.metadata.pop("papermill", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    errors: list[str] = []
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            kept: list[NotebookNode] = []
            for output in cell.outputs:
                if output.output_type == "stream" and output.name == "stderr":
                    errors.append(output.text)
                elif output.output_type == "stream" and kept and kept[-1].output_type == "stream":
                    kept[-1].text += output.text
                else:
                    kept.append(output)
            for output in kept:
                _forget_addresses(output)
            cell.outputs = kept
    name_cells(notebook)
    return errors


def _forget_addresses(output: NotebookNode) -> None:
    if output.output_type == "stream":
        output.text = ADDRESS.sub("", output.text)
        return
    for mime, content in output.get("data", {}).items():
        if mime.endswith("text/plain") and isinstance(content, str):
            output.data[mime] = ADDRESS.sub("", content)
