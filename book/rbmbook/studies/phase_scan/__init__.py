"""The study of the notebook ``phase_scan``."""
