"""Models: loading, the attention tap, recorded attention, the support check. Torch lives here."""
