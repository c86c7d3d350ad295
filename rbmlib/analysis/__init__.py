"""What trained machines tell: couplings, spectra, collapse, separation."""
