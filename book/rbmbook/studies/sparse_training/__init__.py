"""The study of the notebook ``sparse_training``."""
