"""Checks of script/lint that need more than a command: what other tools found, read with care."""
