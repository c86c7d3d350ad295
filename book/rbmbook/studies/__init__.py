"""The studies of both papers: their cells, their profiles, their figures, and the claims that their results settle."""
