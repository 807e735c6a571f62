"""An app whose jobs end their own process in every way that a job can; the tests' own workers install it."""
