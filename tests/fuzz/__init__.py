"""Inputs that nobody wrote: many by `script/fuzz`, and in the test suite a few, always the same."""
