"""What runs in the processes of each system: its tasks, and how to submit them. Imported there alone."""
