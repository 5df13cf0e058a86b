"""Seals: the archives of closings as files. Their SHA-256 is what the closings and their printed reports show."""
from .checking import Archive, WrongArchive, check_file, find_chain_faults
from .writing import write_missing

__all__ = ["Archive", "WrongArchive", "check_file", "find_chain_faults", "write_missing"]
