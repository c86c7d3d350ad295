"""Transverse-field Ising chains: ground states, measurements in the sigma^z basis, observables."""

from .configurations import all_states, center_site, decode, encode
from .mps import MatrixProductState
from .tfim import NotConverged, ground_state

__all__ = [
    "MatrixProductState",
    "NotConverged",
    "all_states",
    "center_site",
    "decode",
    "encode",
    "ground_state",
]
