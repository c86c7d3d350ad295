"""The study of the notebook ``mnist_samples``."""
