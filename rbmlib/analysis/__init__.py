"""What trained and pruned machines have in common: measures that look at the machine, not at its samples."""
