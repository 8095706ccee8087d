"""The source: a repository on the Hugging Face hub at a pinned revision."""
