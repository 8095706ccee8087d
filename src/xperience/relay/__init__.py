"""Hub to scratch to store: planned, pipelined, verified, resumable."""
