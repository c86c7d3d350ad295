"""The study of the notebook ``large_systems``."""
