"""Access tokens (JWT, RFC 7519): their keys, what they grant, and issuing them. Knows nothing of HTTP."""
