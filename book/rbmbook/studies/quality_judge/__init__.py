"""The study of the notebook ``quality_judge``."""
