"""The contract, law by law."""
