"""The study of the notebook ``spectra``."""
