"""How good an engine is, at which stage, for whom, and how sure one can be of it."""
