"""One page that says what an evaluation found, for people who decide by it."""
