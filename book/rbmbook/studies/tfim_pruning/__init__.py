"""The study of the notebook ``tfim_pruning``."""
