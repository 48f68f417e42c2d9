"""What a report says: in words, as data, in pictures and pages."""
