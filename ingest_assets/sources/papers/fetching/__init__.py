"""Where papers may be fetched from, and fetching them."""
