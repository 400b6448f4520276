"""Changing the model: following the champion, shadow scoring, rescoring."""
