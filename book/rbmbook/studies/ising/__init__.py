"""The Ising chain: machines that several studies train, prune and look at."""
