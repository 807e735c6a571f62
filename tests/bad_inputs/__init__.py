"""At least sixty bad inputs for each door, each answered by a clear error, and nothing stored."""
