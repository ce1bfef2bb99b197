"""A hostile peer: whatever it sends, the caller gets a sound value or an error of ours, in time and within bounds."""
