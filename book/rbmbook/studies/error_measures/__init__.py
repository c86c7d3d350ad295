"""The study of the notebook ``error_measures``."""
