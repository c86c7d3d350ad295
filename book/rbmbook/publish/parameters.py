"""A notebook's parameters: what they are called, their types and defaults, and how a given value becomes one.

The cell tagged ``parameters`` holds one assignment a line, each with a type and a comment that explains it::

    n_spins: int = 18  # length of the chain
    fields: list[float] = [1.0, 2.0]  # transverse fields h/J

The name ``profile`` is a label that the command sets, not a parameter of the experiment.
"""

from __future__ import annotations

import ast
import io
import json
import math
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rbmbook.publish.errors import BadNotebook, BadParameter, UnknownName

type_of = {"int": int, "float": float, "str": str, "bool": bool}

Scalar = int | float | str | bool
Value = Scalar | list["Value"]

_LIST = "list["

#: The parameter that names the profile; set by the command, handed to no experiment.
LABEL = "profile"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook.

    Parameters
    ----------
    name : str
        The name assigned in the parameters cell.
    type : str
        ``int``, ``float``, ``str``, ``bool``, or ``list[...]`` of one of them or of such lists.
    default : int, float, str, bool or list
        The value that the notebook itself assigns.
    help : str
        The comment beside the assignment.
    """

    name: str
    type: str
    default: Value
    help: str

    def coerce(self, value: object) -> Value:
        """A given value as this parameter's type.

        Text is read as the type (``"3"``, ``"true"``, ``"[1, 2]"``, ``"1,2"``); all else must be of the type,
        except that an int is taken for a float, a whole float (``1e3``) for an int, and a tuple for a list.

        Raises
        ------
        BadParameter
            If the value is not of the type, or is not a finite number.
        """
        return self._of(value, self.type, value)

    def _of(self, item: object, kind: str, given: object) -> Value:
        if not kind.startswith(_LIST):
            return self._scalar(item, kind, given)
        items = _split(item) if isinstance(item, str) else item
        if not isinstance(items, list | tuple):
            raise self._wrong(given)
        return [self._of(one, kind[len(_LIST) : -1], given) for one in items]

    def _scalar(self, item: object, kind: str, given: object) -> Scalar:
        if kind == "str":
            if not isinstance(item, str):
                raise self._wrong(given)
            return item
        if isinstance(item, str):
            item = self._read(item.strip(), kind, given)
        if kind == "float" and isinstance(item, int) and not isinstance(item, bool):
            item = float(item)
        if kind == "int" and isinstance(item, float) and item.is_integer():
            item = int(item)
        if type(item) is not type_of[kind] or not isinstance(item, int | float):
            raise self._wrong(given)
        if isinstance(item, float) and not math.isfinite(item):
            raise BadParameter(f"parameter {self.name} must be finite ({self.type}), got {given!r}")
        return item

    def _read(self, text: str, kind: str, given: object) -> Scalar:
        if kind == "bool":
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if text.lower() not in words:
                raise self._wrong(given)
            return words[text.lower()]
        try:
            return int(text) if kind == "int" else float(text)
        except ValueError:
            pass
        try:
            return float(text)  # "1e3" is an integer to whoever writes it
        except ValueError:
            raise self._wrong(given) from None

    def _wrong(self, given: object) -> BadParameter:
        example = json.dumps(self.default)
        return BadParameter(
            f"parameter {self.name} must be of type {self.type} (such as {example}), got {given!r}"
        )


def _split(text: str) -> list[object]:
    """The items of a list written as JSON, in brackets without quotes, or separated by commas."""
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, list):
        return parsed
    inner = text.strip().removeprefix("[").removesuffix("]").strip()
    return [item.strip().strip("'\"") for item in inner.split(",")] if inner else []


def declared(source: str) -> dict[str, Parameter]:
    """The parameters that a parameters cell declares, by name, in order.

    Parameters
    ----------
    source : str
        The cell's code.

    Raises
    ------
    BadNotebook
        If a line is not the assignment of a literal, or its type is not one of those allowed.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise BadNotebook(
            f"the parameters cell is not valid Python: {error.msg} (line {error.lineno})"
        ) from None
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        target, annotation, value = _assignment(statement)
        try:
            default = ast.literal_eval(value)
        except ValueError:
            raise BadNotebook(
                f"the default of parameter {target} must be a literal, got {ast.unparse(value)}"
            ) from None
        kind = _kind(target, annotation, default)
        raw = Parameter(target, kind, default, comments.get(statement.end_lineno or 0, ""))
        found[target] = Parameter(target, kind, raw.coerce(default), raw.help)
    return found


def _assignment(statement: ast.stmt) -> tuple[str, str | None, ast.expr]:
    if (
        isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and statement.value is not None
    ):
        return statement.target.id, ast.unparse(statement.annotation), statement.value
    if (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Name)
    ):
        return statement.targets[0].id, None, statement.value
    raise BadNotebook(
        f"the parameters cell may hold only assignments to one name, got {ast.unparse(statement)!r}"
    )


def _kind(name: str, annotation: str | None, default: object) -> str:
    """The type's canonical name, from the annotation or else from the default."""
    if annotation is None:
        if isinstance(default, list | tuple) and default:
            annotation = f"list[{type(default[0]).__name__}]"
        else:
            annotation = type(default).__name__
    kind = annotation.replace(" ", "").replace("tuple[", _LIST).replace(",...]", "]")
    innermost = kind
    while innermost.startswith(_LIST) and innermost.endswith("]"):
        innermost = innermost[len(_LIST) : -1]
    if innermost not in type_of:
        allowed = ", ".join(type_of)
        raise BadNotebook(f"parameter {name} has type {annotation}; allowed are {allowed} and lists of them")
    return kind


def bind(parameters: Mapping[str, Parameter], *given: Mapping[str, object]) -> dict[str, Value]:
    """Values for all parameters: the defaults, overridden by each mapping in turn.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        What the notebook declares.
    *given : mapping of str to value
        Overrides, the last one strongest; text is read as the parameter's type.

    Returns
    -------
    dict
        One value a parameter, in the order of declaration.

    Raises
    ------
    UnknownName
        If a name is not declared.
    BadParameter
        If a value is not of its parameter's type.
    """
    values = {name: parameter.default for name, parameter in parameters.items()}
    for mapping in given:
        for name, value in mapping.items():
            if name not in parameters or name == LABEL:
                raise UnknownName("parameter", str(name), [key for key in parameters if key != LABEL])
            values[name] = parameters[name].coerce(value)
    return values


def without_label(values: Mapping[str, Value]) -> dict[str, Value]:
    """The values that an experiment gets: all but the profile's label."""
    return {name: value for name, value in values.items() if name != LABEL}


def read_parameters(path: Path) -> dict[str, object]:
    """Parameters from a YAML file, one ``name: value`` a line.

    Raises
    ------
    BadParameter
        If it is not such a file.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadParameter(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001 - a date that does not exist, a text in another encoding, and more
        raise BadParameter(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadParameter(
            f"{path} must hold parameters as `name: value` lines, got {type(content).__name__}"
        )
    return {str(key): value for key, value in content.items()}
