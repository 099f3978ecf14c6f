"""What an author of a fetcher tests it with."""
