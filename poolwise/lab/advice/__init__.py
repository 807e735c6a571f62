"""Advice: which pool fits the job, and with how many slots. Read `decide`; `kinds` and `sentences` help it."""
