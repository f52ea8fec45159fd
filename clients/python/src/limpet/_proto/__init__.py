"""The contract of limpetd, made by clients/python/generate."""
