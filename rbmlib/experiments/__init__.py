"""The studies of both papers: their cells, their profiles, and the claims that their results settle."""
