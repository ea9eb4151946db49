"""Scientific papers: their sections as documents, and a knowledge graph of what they say."""
