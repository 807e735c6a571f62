"""A folder for PYTHONPATH: modules that hide what production does not have."""
