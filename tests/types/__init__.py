"""Specifications of the structs."""
