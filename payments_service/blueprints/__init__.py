"""HTTP, a module a noun."""
