"""To and from the array libraries that people go on with: one file for each."""
