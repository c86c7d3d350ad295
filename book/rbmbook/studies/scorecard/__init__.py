"""The scorecard: every claim of both papers with its verdict."""
