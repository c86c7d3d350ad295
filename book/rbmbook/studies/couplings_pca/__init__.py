"""The study of the notebook ``couplings_pca``."""
