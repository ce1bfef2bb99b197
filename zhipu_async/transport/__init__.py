"""How it travels: the only place that waits for the network."""
