"""The study of the notebook ``magnetization``."""
