"""What was released, seen, found and told: kept from one look to the next."""
