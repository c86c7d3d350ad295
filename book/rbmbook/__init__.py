"""The book's own code, beside the library: its studies, and what runs, draws and publishes them."""
