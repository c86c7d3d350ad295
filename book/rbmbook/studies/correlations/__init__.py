"""The study of the notebook ``correlations``."""
