"""Moving records between databases."""
