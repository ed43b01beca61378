"""What processes say to each other: types, limits, names and encodings that both sides of a call share."""
