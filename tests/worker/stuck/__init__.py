"""An app whose jobs get stuck, each in its own way; the tests' own workers install it."""
