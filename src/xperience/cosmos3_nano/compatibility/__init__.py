"""Whether Cosmos3-Nano and this data fit together, measured: 21 checks in three levels, each able to fail."""
