"""The answer of a comparison: which pool fits the job. Read `decide`; `kinds`, `ties`, `why` and `texts` help it."""
