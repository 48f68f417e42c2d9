"""What others send about releases in their own words, one module per sender."""
