"""The study of the notebook ``collapse``."""
