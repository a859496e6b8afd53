"""Turns the tables of the standard into C and Python; tools/generate.py is the command."""
