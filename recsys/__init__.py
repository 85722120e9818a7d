"""A two-stage recommender engine for e-commerce."""

__version__ = "0.1.0"
