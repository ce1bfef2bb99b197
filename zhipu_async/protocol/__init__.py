"""How it is written: calls to bytes and bytes to structs. Sans-I/O: nothing here waits, reads a clock or draws lots."""
