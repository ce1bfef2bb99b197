"""What is said to and by the service: msgspec structs, one file per page of the contract."""
