"""An app whose jobs use Django's ORM in every way that a job can; the tests' own workers install it."""
