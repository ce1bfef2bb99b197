"""Specifications of the protocol layer: bytes in, structs and decisions out."""
