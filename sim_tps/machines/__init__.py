"""Data of the built-in machines, and the script that fits their beam."""
