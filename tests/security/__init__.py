"""What must not leak, be smuggled in, or be written elsewhere."""
