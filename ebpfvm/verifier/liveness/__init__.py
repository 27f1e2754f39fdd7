"""What is read later: registers, and slots of the stack."""
