"""The study of the notebook ``schedules``."""
