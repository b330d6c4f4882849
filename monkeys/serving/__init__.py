"""Trained networks at work: prediction, export, a page to try it."""
