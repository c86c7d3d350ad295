"""The study of the notebook ``rbm_graph``."""
