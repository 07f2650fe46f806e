"""The reference: pages made from the code whenever the documentation is built."""
