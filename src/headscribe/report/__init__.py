"""What a person sees of a run: figures, the HTML page, tables in the terminal."""
