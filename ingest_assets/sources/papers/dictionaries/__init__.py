"""Data of the dictionaries; README.md says where it comes from. `extraction.dictionaries` reads it."""
