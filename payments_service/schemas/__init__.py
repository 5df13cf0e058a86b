"""The shapes of requests and responses with their examples, a module a noun.

Schemas check the shape of a value. Whether it exists or is unique, the store decides.
"""
