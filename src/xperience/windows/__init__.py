"""Windows: an index of labelled windows, and the frames and sound that it points into."""
