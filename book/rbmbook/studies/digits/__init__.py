"""Handwritten digits: machines and judges that several studies train and look at."""
