"""The account that the book gives of itself."""
