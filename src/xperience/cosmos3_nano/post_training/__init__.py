"""Post-training of Cosmos3-Nano: its generator and its reasoner, each an adapter, only behind the gates."""
