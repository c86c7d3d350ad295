"""The file format of a result: labelled arrays in a NumPy ``.npz`` that cannot run code and shows any damage.

One member a variable, as ``.npy``, and one, ``meta.json``, with dimensions, attributes and origin as text.
Order, time stamps and modes are fixed, so equal results give equal bytes. The archive's comment is the
SHA-256 of everything before it. ``numpy.load(path, allow_pickle=False)`` reads such a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import canonical_json
from rbmbook.lab.errors import DamagedResult

FORMAT = 1
_META = "meta.json"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_COMMENT = re.compile(rb"sha256:[0-9a-f]{64}")
_COMMENT_LENGTH = 71
# What a description must hold, and of which kind.
_FIELDS = {
    "key": str,
    "digest": str,
    "digests": dict,
    "attrs": dict,
    "variables": dict,
    "order": list,
    "origin": dict,
}
_EPOCH = (1980, 1, 1, 0, 0, 0)


def _array(name: str, values: Any) -> np.ndarray:
    """Return the values as a C-ordered, little-endian array that needs no pickle."""
    array = np.asarray(values)
    if array.dtype == object or array.dtype.kind == "T":
        if not all(isinstance(item, str) for item in array.ravel()):
            raise TypeError(f"variable {name} holds Python objects; a result holds numbers, booleans or text")
        array = array.astype(np.str_)
    if array.dtype.kind == "V":
        raise TypeError(f"variable {name} has dtype {array.dtype}; a result holds numbers, booleans or text")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _plain(where: str, value: Any) -> Any:
    """Bring an attribute to what JSON holds."""
    if isinstance(value, Mapping):
        return {str(name): _plain(where, item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(where, item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(where, value.tolist())
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{where} is {value!r} ({type(value).__name__}); an attribute must be text or numbers")


def variable_digests(dataset: xr.Dataset) -> dict[str, str]:
    """Return the SHA-256 of every variable: its name, role, dimensions, dtype, shape and bytes.

    Attributes do not count. Values are compared as bits: ``0.0`` and ``-0.0`` differ, equal NaN do not.
    """
    return {
        str(name): _variable_digest(str(name), name in dataset.coords, variable)
        for name, variable in dataset.variables.items()
    }


def _variable_digest(name: str, is_coordinate: bool, variable: xr.Variable) -> str:
    array = _array(name, variable.values)
    head = [name, is_coordinate, list(variable.dims), array.dtype.str, list(array.shape)]
    total = hashlib.sha256(canonical_json(head).encode())
    # A view saves the copy; there is none of a scalar or of nothing.
    plain = array.ndim == 0 or array.size == 0
    total.update(array.tobytes() if plain else memoryview(array).cast("B"))  # type: ignore[arg-type]
    return total.hexdigest()


def combined_digest(digests: Mapping[str, str]) -> str:
    """Return one hash for the digests of all variables, whatever their order."""
    return hashlib.sha256(canonical_json(dict(digests)).encode()).hexdigest()


def _member(name: str, array: np.ndarray) -> tuple[zipfile.ZipInfo, bytes]:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info, buffer.getvalue()


def encode(
    dataset: xr.Dataset, key: str, origin: Mapping[str, Any], names: Iterable[str] | None = None
) -> bytes:
    """Write a result as the bytes of its file.

    Parameters
    ----------
    dataset : xarray.Dataset
        The whole result.
    key : str
        The key it is stored under.
    origin : mapping
        Where it comes from; anything that JSON holds.
    names : iterable of str, optional
        The variables that this file carries; default all. The digest is always that of the whole.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError, ValueError
        If a variable or an attribute is of a kind that the format does not hold.
    """
    digests = variable_digests(dataset)
    kept = sorted(digests if names is None else names)
    for name in digests:
        if not _NAME.fullmatch(name) or name == _META:
            raise ValueError(f"variable name {name!r} is not allowed; use letters, digits and underscores")
    meta = {
        "format": FORMAT,
        "key": key,
        "digest": combined_digest(digests),
        "digests": digests,
        "attrs": _plain("an attribute of the dataset", dataset.attrs),
        "variables": {
            name: {
                "dims": list(dataset.variables[name].dims),
                "coord": name in dataset.coords,
                "attrs": _plain(f"an attribute of {name}", dataset.variables[name].attrs),
            }
            for name in kept
        },
        "order": [str(name) for name in dataset.variables],
        "origin": _plain("origin", origin),
    }
    return pack(meta, {name: dataset.variables[name] for name in kept})


def pack(meta: Mapping[str, Any], variables: Mapping[str, xr.Variable]) -> bytes:
    """Write what :func:`decode` returns as the bytes of a file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(*_member(_META, np.array(canonical_json(meta))))
        for name in sorted(variables):
            archive.writestr(*_member(name, _array(name, variables[name].values)))
        archive.comment = b"sha256:" + b"0" * 64
    body = buffer.getvalue()[:-_COMMENT_LENGTH]
    return body + b"sha256:" + hashlib.sha256(body).hexdigest().encode()


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _open(path: Path, content: bytes) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    comment = content[-_COMMENT_LENGTH:]
    if not _COMMENT.fullmatch(comment):
        raise DamagedResult(path, "it does not end with its checksum (cut short, or not a result at all)")
    body = memoryview(content)[:-_COMMENT_LENGTH]
    if b"sha256:" + hashlib.sha256(body).hexdigest().encode() != comment:
        raise DamagedResult(path, "its bytes do not match its checksum")
    archive = zipfile.ZipFile(io.BytesIO(content))
    meta = json.loads(_read(archive, _META).item())
    if meta["format"] != FORMAT:
        raise DamagedResult(path, f"it has format {meta['format']!r}; this version reads format {FORMAT}")
    for name, kind in _FIELDS.items():
        if not isinstance(meta[name], kind):
            raise DamagedResult(path, f"its description has {name} = {meta[name]!r}")
    return archive, meta


def decode_meta(path: Path, content: bytes) -> dict[str, Any]:
    """Return what a file says about itself.

    Raises
    ------
    DamagedResult
        If any byte is not what was written.
    """
    with _typed(path):
        return _open(path, content)[1]


def decode(path: Path, content: bytes) -> tuple[dict[str, Any], dict[str, xr.Variable]]:
    """Return what a file says about itself, and the variables that it carries.

    Raises
    ------
    DamagedResult
        If any byte is not what was written, a member would need unpickling, or an array is not the one that
        the description was written for.
    """
    with _typed(path):
        archive, meta = _open(path, content)
        variables = {}
        for name, about in meta["variables"].items():
            values = _read(archive, name)
            variables[name] = variable = xr.Variable(tuple(about["dims"]), values, about["attrs"])
            if _variable_digest(name, about["coord"], variable) != meta["digests"][name]:
                raise DamagedResult(path, f"its array {name} is not the one that was written")
        if combined_digest(meta["digests"]) != meta["digest"]:
            raise DamagedResult(path, "the digests of its arrays do not add up to that of the whole")
        return meta, variables


@contextlib.contextmanager
def _typed(path: Path) -> Iterator[None]:
    """Whatever zipfile, NumPy, json and xarray raise on bytes that someone else wrote means: damaged."""
    try:
        yield
    except DamagedResult:
        raise
    except Exception as error:
        raise DamagedResult(path, f"it cannot be read ({type(error).__name__}: {error})") from error


def assemble(path: Path, meta: Mapping[str, Any], variables: Mapping[str, xr.Variable]) -> xr.Dataset:
    """Put variables together as the dataset that was saved, in its order.

    Raises
    ------
    DamagedResult
        If they do not go together; `path` names the file in the message.
    """
    with _typed(path):
        about = meta["variables"]
        ordered = [name for name in meta["order"] if name in variables]
        return xr.Dataset(
            {name: variables[name] for name in ordered if not about[name]["coord"]},
            coords={name: variables[name] for name in ordered if about[name]["coord"]},
            attrs=meta["attrs"],
        )
