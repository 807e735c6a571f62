"""The way of a job."""
