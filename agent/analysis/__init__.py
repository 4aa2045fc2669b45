"""What a finished run's trace tells: its story, its words counted, its numbers checked, its tables.

`story` reads a trace back; `coding` counts what kinds of things were said; `faithfulness` compares stated numbers with
recorded ones; `tables` writes all of it for other programs. Nothing here asks a model or a TPS.
"""
