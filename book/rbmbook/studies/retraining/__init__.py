"""The study of the notebook ``retraining``."""
