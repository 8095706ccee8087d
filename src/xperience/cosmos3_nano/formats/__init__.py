"""Records in the formats that NVIDIA's own loaders read, and those loaders' filters to read them back with."""
