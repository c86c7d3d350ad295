"""Training of many machines at once on an accelerator, and what it costs; needs torch."""
