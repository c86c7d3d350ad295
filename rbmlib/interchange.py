r"""Machines of other programs: QuCumber's and rbms' files, and scikit-learn's ``BernoulliRBM``.

All of them mean the same machine by their numbers, units of 0 and 1 and
:math:`F(v) = -b \cdot v - \sum_j \log(1 + e^{c_j + (v W)_j})`, and differ in names and in which way the weights lie:

===================  ==================  ==================  =======================  ======================
\                    weights             shape               visible bias             hidden bias
===================  ==================  ==================  =======================  ======================
here                 ``weights``         visible x hidden    ``visible_bias``         ``hidden_bias``
QuCumber             ``weights``         hidden x visible    ``visible_bias``         ``hidden_bias``
rbms                 ``weight_matrix``   visible x hidden    ``vbias``                ``hbias``
scikit-learn         ``components_``     hidden x visible    ``intercept_visible_``   ``intercept_hidden_``
===================  ==================  ==================  =======================  ======================

Nothing in a file can run: arrays are read, pickles are not. Numbers become float32. None of these programs knows masks: a
machine that comes from one has all its weights, and one that goes to scikit-learn leaves its mask behind (its zeros stay).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .files import missing_arrays, reading_arrays
from .rbm import RBM, ModelFileError

if TYPE_CHECKING:
    from sklearn.neural_network import BernoulliRBM

_QUCUMBER = ("weights", "visible_bias", "hidden_bias")
_RBMS = ("weight_matrix", "vbias", "hbias")
_HDF5 = b"\x89HDF\r\n\x1a\n"
#: Other machines that rbms writes, by the name in the file.
_OTHER_UNITS = {"PBRBM": "Potts variables"}


def read_qucumber(path: str | os.PathLike[str], network: str | None = None) -> RBM:
    """Read an RBM from a ``.npz`` file of QuCumber's parameters.

    Parameters
    ----------
    path : path-like
        A file with ``weights`` (n_hidden, n_visible), ``visible_bias`` and ``hidden_bias``; those of a complex wave
        function have the prefixes ``am_`` (amplitudes) and ``ph_`` (phases).
    network : {"am", "ph"}, optional
        Which machine of a complex wave function.

    Returns
    -------
    RBM
        The squared amplitude of a positive wave function is this machine's distribution.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is damaged or holds something else; the message says what.
    ValueError
        If `network` is unknown.
    """
    if network not in (None, "am", "ph"):
        raise ValueError(f'network must be "am", "ph" or None, not {network!r}')
    _refuse_foreign(path, "a .npz file of QuCumber")
    with reading_arrays(path, "a .npz file of QuCumber's parameters", ModelFileError) as archive:
        if network is None and f"am_{_QUCUMBER[0]}" in archive.files:
            raise ValueError(
                'it holds the two machines of a complex wave function: name one by network="am" or network="ph"'
            )
        if "weights_W" in archive.files:
            raise ValueError(
                "it holds a density operator's machine, which has auxiliary units besides hidden ones"
            )
        names = [f"{network}_{name}" if network else name for name in _QUCUMBER]
        if "mask" in archive.files and not missing_arrays(archive, *names):
            raise ValueError("it was written by RBM.save: read it by RBM.load")
        if words := missing_arrays(archive, *names):
            raise ValueError(words)
        weights, visible_bias, hidden_bias = (_numbers(name, archive[name]) for name in names)
        return _machine(weights.T, visible_bias, hidden_bias)


def read_rbms(path: str | os.PathLike[str], update: int | None = None) -> RBM:
    """Read an RBM from an HDF5 file that rbms wrote; needs the package h5py.

    Parameters
    ----------
    path : path-like
        The file; it holds the machine after each of a number of updates.
    update : int, optional
        After which; the last one in the file by default.

    Returns
    -------
    RBM

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModuleNotFoundError
        If h5py is not installed.
    ModelFileError
        If the file is damaged or holds something else; the message says what.
    """
    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
    if start != _HDF5:
        kind = _kind(start)
        raise ModelFileError(f"{os.fspath(path)} is not an HDF5 file of rbms: it is {kind}")
    try:
        import h5py
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "reading HDF5 needs the package h5py: pip install h5py", name="h5py"
        ) from None
    # What h5py raises on damaged files is of many kinds.
    try:
        with h5py.File(path, "r") as file:
            return _machine(*(_numbers(name, values) for name, values in _of_rbms(file, update).items()))
    except Exception as error:
        raise ModelFileError(f"{os.fspath(path)} is not an HDF5 file of rbms: {error}") from error


def _of_rbms(file: Any, update: int | None) -> dict[str, np.ndarray]:
    """Parameters of one update, in the order of weights, visible and hidden biases."""
    if "model_type" in file:
        kind = file["model_type"][()]
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if kind != "BBRBM":
            raise ValueError(
                f"it holds a {kind}, a machine of {_OTHER_UNITS.get(kind, 'other units than 0 and 1')}"
            )
    updates = sorted(
        int(name.removeprefix("update_")) for name in file if name.removeprefix("update_").isdecimal()
    )
    if not updates:
        raise ValueError(f"it has no groups update_N, only {', '.join(file) or 'nothing'}")
    if update is None:
        update = updates[-1]
    if update not in updates:
        raise ValueError(f"it has no update {update!r}, only {', '.join(map(str, updates))}")
    group = file[f"update_{update}"]
    # Older versions keep the arrays in the group itself.
    group = group.get("params", group)
    if missing := [name for name in _RBMS if name not in group]:
        raise ValueError(f"it has no {' and no '.join(missing)} in update {update}, only {', '.join(group)}")
    return {name: group[name][()] for name in _RBMS}


def from_sklearn(model: BernoulliRBM) -> RBM:
    """The machine of a fitted ``sklearn.neural_network.BernoulliRBM``.

    Parameters
    ----------
    model : BernoulliRBM
        After ``fit``.

    Returns
    -------
    RBM

    Raises
    ------
    ValueError
        If `model` has not been fitted, or is something else.
    """
    names = ("components_", "intercept_visible_", "intercept_hidden_")
    if missing := [name for name in names if not hasattr(model, name)]:
        raise ValueError(
            f"model must be a fitted BernoulliRBM, not {type(model).__name__} without {', '.join(missing)}"
        )
    weights, visible_bias, hidden_bias = (_numbers(name, getattr(model, name)) for name in names)
    return _machine(weights.T, visible_bias, hidden_bias)


def to_sklearn(machine: RBM, **parameters: Any) -> BernoulliRBM:
    """A ``sklearn.neural_network.BernoulliRBM`` with a machine's weights, as after ``fit``; needs scikit-learn.

    Parameters
    ----------
    machine : RBM
        The machine. Its mask is not known there: training goes on with all weights.
    **parameters
        Parameters of ``BernoulliRBM``, such as ``learning_rate`` and ``random_state``.

    Returns
    -------
    BernoulliRBM

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.neural_network import BernoulliRBM
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "a BernoulliRBM needs the package scikit-learn: pip install scikit-learn", name="sklearn"
        ) from None
    model = BernoulliRBM(**{"n_components": machine.n_hidden, **parameters})
    model.components_ = np.array(machine.weights.T, dtype=np.float64, order="F")
    model.intercept_visible_ = machine.visible_bias.astype(np.float64)
    model.intercept_hidden_ = machine.hidden_bias.astype(np.float64)
    model.n_features_in_ = machine.n_visible
    model._n_features_out = machine.n_hidden
    return model


def _machine(weights: np.ndarray, visible_bias: np.ndarray, hidden_bias: np.ndarray) -> RBM:
    return RBM(weights, visible_bias, hidden_bias)


def _numbers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers, not {array.dtype}")
    return array


def _refuse_foreign(path: str | os.PathLike[str], what: str) -> None:
    """Say what a file is that cannot be read without running code."""
    import zipfile

    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
        members: Mapping[str, object] = {}
        if start.startswith(b"PK"):
            try:
                members = dict.fromkeys(zipfile.ZipFile(file).namelist())
            except Exception:  # noqa: BLE001 - a damaged archive, which the reader says
                return
    pickled = any(name.endswith("data.pkl") for name in members)
    if pickled or not start.startswith(b"PK"):
        kind = (
            "a file of torch.save, whose pickle could run code: save the arrays by numpy.savez"
            if pickled
            else _kind(start)
        )
        raise ModelFileError(f"{os.fspath(path)} is not {what}: it is {kind}")


def _kind(start: bytes) -> str:
    """What a file is, from its first bytes."""
    kinds = {
        b"": "empty",
        _HDF5: "an HDF5 file, such as read_rbms reads",
        b"\x93NUMPY": "a single array (.npy)",
        b"PK": "a zip archive, such as numpy.savez and torch.save write",
        b"\x80": "a pickle, which could run code: save the arrays by numpy.savez",
    }
    return next(
        (words for head, words in kinds.items() if head and start.startswith(head)),
        "of another kind" if start else "empty",
    )
